"""A storage for the committer, and callers of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from flowstate_server.model.clock import Micros
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.backend import Group, GroupStorage
from flowstate_server.stores.contract.tables import PROCESSES, STATES, Changes, Loaded
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.contract.writes import Batch, CommitResult, RenewLease
from flowstate_server.testing.store_contract.builders import increment

LEASE: Batch = (RenewLease("process", Micros(1), start=True),)


def user(name: str) -> Batch:
    return (increment(user_scope(name)),)


class FakeStorage(GroupStorage):
    """Keeps the names that each group changes. ``before`` runs before, ``fail`` after a group is decided."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.sizes: list[int] = []
        self.gate: asyncio.Event | None = None
        self.ready: int | None = None
        self.fail: Callable[[list[str]], BaseException | None] = lambda names: None

    async def run(self, group: Group) -> Iterable[Topic]:
        self.sizes.append(len(group))
        if self.gate is not None:
            await self.gate.wait()
        changes = group.decide(Loaded(Micros(1)), self.ready)
        names = _names(changes)
        error = self.fail(names)
        if error is not None:
            raise error
        self.groups.append(names)
        return changes.topics

    @property
    def committed(self) -> list[str]:
        return [name for names in self.groups for name in names]


def _names(changes: Changes) -> list[str]:
    processes = [row.process for row in changes.new_of(PROCESSES)]
    return processes + [state.key.id for state in changes.new_of(STATES)]


def once(error: BaseException, times: int = 1) -> Callable[[list[str]], BaseException | None]:
    errors = [error] * times
    return lambda names: errors.pop() if errors else None


def if_in(name: str, error: Exception) -> Callable[[list[str]], BaseException | None]:
    return lambda names: error if name in names else None


def begin(committer: GroupCommitter, *batches: Batch) -> list[asyncio.Task[CommitResult]]:
    return [asyncio.create_task(committer.commit(batch)) for batch in batches]


async def answers(tasks: list[asyncio.Task[CommitResult]]) -> list[CommitResult | BaseException]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def turns(count: int = 12) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
