"""Callers that are cancelled, and the end of the committer."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.backend import Conflict
from flowstate_server.stores.contract.watch import WatchHub
from flowstate_server.stores.contract.writes import CommitResult
from tests.unit.stores.fake_storage import FakeStorage, answers, begin, once, turns, user


async def test_cancelled_before_its_group_is_dropped(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.gate = asyncio.Event()
    first = begin(committer, user("a"))
    await turns()
    more = begin(committer, *map(user, "bcd"))
    await turns()
    more[1].cancel()
    storage.gate.set()
    await answers([*first, *more])
    assert storage.groups == [["a"], ["b", "d"]]


async def test_cancelled_in_its_group_is_whole(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.gate = asyncio.Event()
    tasks = begin(committer, user("a"), user("b"))
    await turns()
    tasks[0].cancel()
    await turns()
    storage.gate.set()
    found = await answers(tasks)
    assert isinstance(found[0], asyncio.CancelledError)
    assert isinstance(found[1], CommitResult)
    assert storage.groups == [["a", "b"]]


async def test_cancelled_in_a_failed_group_is_not_replayed(
    storage: FakeStorage, committer: GroupCommitter
) -> None:
    storage.gate = asyncio.Event()
    storage.fail = once(RuntimeError("group"))
    tasks = begin(committer, *map(user, "abc"))
    await turns()
    tasks[1].cancel()
    await turns()
    storage.gate.set()
    await answers(tasks)
    assert storage.groups == [["a"], ["c"]]


@pytest.mark.parametrize("count", range(12))
async def test_cancelled_at_any_await(storage: FakeStorage, committer: GroupCommitter, count: int) -> None:
    storage.fail = once(Conflict(), times=2)
    [task] = begin(committer, user("a"))
    await turns(count)
    task.cancel()
    await asyncio.wait((task,))
    await committer.commit(user("b"))
    assert storage.committed in (["a", "b"], ["b"])
    if not task.cancelled():
        assert storage.committed == ["a", "b"]


async def test_close_finishes_what_is_queued(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.gate = asyncio.Event()
    tasks = begin(committer, *(user(f"{number:03}") for number in range(100)))
    await turns()
    closing = asyncio.create_task(committer.close())
    await turns()
    with pytest.raises(StoreUnavailableError):
        await committer.commit(user("late"))
    assert not closing.done()
    storage.gate.set()
    await closing
    assert all(task.done() for task in tasks)
    assert all(isinstance(answer, CommitResult) for answer in await answers(tasks))


async def test_close_that_is_cancelled_stops_nothing(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.gate = asyncio.Event()
    tasks = begin(committer, user("a"))
    await turns()
    closing = asyncio.create_task(committer.close())
    await turns()
    closing.cancel()
    await asyncio.wait((closing,))
    storage.gate.set()
    assert all(isinstance(answer, CommitResult) for answer in await answers(tasks))


async def test_close_of_an_idle_committer(storage: FakeStorage) -> None:
    committer = GroupCommitter(storage, WatchHub())
    await committer.close()
    with pytest.raises(StoreUnavailableError):
        await committer.commit(user("a"))
    committer.start()
    await committer.commit(user("b"))
    await committer.close()
    await committer.close()
    with pytest.raises(StoreUnavailableError):
        await committer.commit(user("c"))
    assert storage.groups == [["b"]]
