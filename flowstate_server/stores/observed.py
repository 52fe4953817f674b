"""Telling an observer of what goes through a store's ports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from time import monotonic

from flowstate_server.errors import ServiceError
from flowstate_server.observation import NOBODY, OK, Observer
from flowstate_server.stores.contract.backend import Conflict, Group, GroupStorage, Ports
from flowstate_server.stores.contract.watch import Topic


def observed(ports: Ports, observer: Observer) -> Ports:
    """The same ports, of whose work ``observer`` is told."""
    if observer is NOBODY:
        return ports
    return replace(ports, groups=_ObservedGroups(ports.groups, observer))


class _ObservedGroups(GroupStorage):
    def __init__(self, groups: GroupStorage, observer: Observer) -> None:
        self._groups = groups
        self._observer = observer

    async def run(self, group: Group) -> Iterable[Topic]:
        began = monotonic()
        outcome = "INTERNAL"
        try:
            topics = await self._groups.run(group)
            outcome = OK
        except Conflict:
            outcome = "CONFLICT"
            raise
        except ServiceError as error:
            outcome = error.reason.value
            raise
        finally:
            self._observer.commit(
                seconds=monotonic() - began,
                batches=len(group),
                writes=group.writes,
                refused=group.refused,
                outcome=outcome,
            )
        return topics
