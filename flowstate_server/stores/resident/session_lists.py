"""Sessions by what they are listed by, each list in the order of creation."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import islice
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import SessionHead, SessionRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.model.session_labels import NO_LABELS, session_labels
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition

Place = tuple[Micros, str]
"""A create time and an id."""


class SessionLists:
    """Of live sessions: a list for each tenant, and within it for each user and each label."""

    def __init__(self) -> None:
        self._labels: dict[SessionKey, frozenset[bytes]] = {}
        self._tenants: set[Tenant] = set()
        self._lists: dict[tuple[Tenant, str | bytes | None], list[Place]] = {}

    def put(self, session: SessionRecord, before: SessionRecord | None) -> None:
        """``before`` is the record that ``session`` replaces."""
        if before is not None and not before.deleted:
            for name in self._names(before):
                places = self._lists[before.key.tenant, name]
                del places[bisect_left(places, _place(before))]
                if not places:
                    del self._lists[before.key.tenant, name]
                    if name is None:
                        self._tenants.remove(before.key.tenant)
        self._labels.pop(session.key, None)
        if not session.deleted:
            self._tenants.add(session.key.tenant)
            if labels := session_labels(session):
                self._labels[session.key] = labels
            for name in self._names(session):
                insort(self._lists.setdefault((session.key.tenant, name), []), _place(session))

    def keys(self, which: SessionFilter, after: SessionPosition | None) -> Iterator[SessionKey]:
        """Sessions of the shortest list that has all of the filter, newest first, of the right labels."""
        names = (which.user_id, *which.labels)
        places = min((self._lists.get((which.tenant, name), []) for name in names), key=len)
        end = len(places) if after is None else bisect_left(places, (after.create_time, after.session_id))
        wanted = frozenset(which.labels)
        for position in range(end - 1, -1, -1):
            key = SessionKey(which.tenant, places[position][1])
            if wanted <= self._labels.get(key, NO_LABELS):
                yield key

    def walked(self, after: tuple[Any, ...] | None) -> Iterator[tuple[tuple[Any, ...], SessionKey]]:
        """All of them by tenant, create time and id, each with this place, from beyond ``after``."""
        first, *beyond = after or ("",)
        for tenant in sorted(tenant for tenant in self._tenants if tenant >= first):
            places = self._lists[tenant, None]
            start = bisect_right(places, tuple(beyond)) if beyond and tenant == first else 0
            for place in islice(places, start, None):
                yield (tenant, *place), SessionKey(tenant, place[1])

    def _names(self, session: SessionRecord) -> Iterator[str | bytes | None]:
        yield None
        yield session.user_id
        yield from self._labels.get(session.key, NO_LABELS)


def fits(which: SessionFilter, session: SessionRecord, head: SessionHead) -> bool:
    """Whether the session is one of those, whatever its labels."""
    return (
        which.user_id in (None, session.user_id)
        and which.flow_kind in (None, session.flow_kind)
        and which.org_id in (None, session.org_id)
        and (which.include_ephemeral or not session.ephemeral)
        and (which.active_after is None or head.activity_time > which.active_after)
    )


def _place(session: SessionRecord) -> Place:
    return session.create_time, session.key.session_id
