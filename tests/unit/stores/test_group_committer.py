"""Groups, retries and replays."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import pytest

from flowstate_server.errors import InternalError, StoreUnavailableError, UnclearCommitError
from flowstate_server.model.clock import Micros
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.commit import GroupCommitter, group_committer
from flowstate_server.stores.commit.decide import BrokenChange
from flowstate_server.stores.contract.backend import Conflict, Group
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.tables import Loaded
from flowstate_server.stores.contract.watch import Topic
from flowstate_server.stores.contract.writes import Changed, ChangeState, CommitResult
from flowstate_server.testing.store_contract.builders import increment
from tests.unit.stores.fake_storage import LEASE, FakeStorage, answers, begin, if_in, once, turns, user


async def test_batches_at_once_share_a_group(storage: FakeStorage, committer: GroupCommitter) -> None:
    await answers(begin(committer, user("a"), user("b"), user("c")))
    assert storage.groups == [["a", "b", "c"]]


async def test_while_a_group_runs_the_next_collects(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.gate = asyncio.Event()
    first = begin(committer, user("a"))
    await turns()
    more = begin(committer, user("b"), user("c"))
    await turns()
    assert storage.sizes == [1]
    storage.gate.set()
    await answers([*first, *more])
    assert storage.groups == [["a"], ["b", "c"]]


async def test_group_is_full_at_64(storage: FakeStorage, committer: GroupCommitter) -> None:
    names = [f"{number:03}" for number in range(150)]
    await answers(begin(committer, *map(user, names)))
    assert storage.sizes == [64, 64, 22]
    assert storage.committed == names


async def test_what_is_damaged_refuses_the_batches_that_need_it(
    storage: FakeStorage, committer: GroupCommitter, caplog: pytest.LogCaptureFixture
) -> None:
    """And they are not told to try again."""
    storage.fail = if_in("b", DamagedRecord("b", "ValueError"))
    refused = (await answers(begin(committer, user("a"), user("b"), user("c"))))[1]
    assert isinstance(refused, InternalError)
    assert refused.error_id in caplog.text
    assert "what is stored under b" in caplog.text
    assert storage.committed == ["a", "c"]


async def test_lease_goes_ahead(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.gate = asyncio.Event()
    first = begin(committer, user("a"))
    await turns()
    more = begin(committer, *(user(f"{number:03}") for number in range(100)), LEASE, (*LEASE, *user("b")))
    await turns()
    storage.gate.set()
    await answers([*first, *more])
    assert storage.groups[1] == ["process"], "what others have locked does not hold it up"
    assert storage.groups[2][0] == "000"
    assert "b" in storage.groups[3]


@pytest.mark.parametrize("ready", [1, 2])
async def test_storage_closes_a_group_early(
    storage: FakeStorage, committer: GroupCommitter, ready: int
) -> None:
    storage.ready = ready
    found = await answers(begin(committer, *map(user, "abcde")))
    assert all(isinstance(answer, CommitResult) for answer in found)
    assert storage.committed == list("abcde")
    assert all(len(group) <= ready for group in storage.groups)


async def test_group_closes_when_deciding_takes_long(
    storage: FakeStorage, committer: GroupCommitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_committer, "GROUP_SECONDS", 0.0)
    await answers(begin(committer, *map(user, "abc")))
    assert storage.groups == [["a"], ["b"], ["c"]]


async def test_rest_of_a_closed_group_stays_ahead(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.ready = 2
    storage.gate = asyncio.Event()
    first = begin(committer, *map(user, "abcd"))
    await turns()
    later = begin(committer, user("e"))
    storage.gate.set()
    await answers([*first, *later])
    assert storage.committed == list("abcde")


async def test_conflict_is_decided_again(storage: FakeStorage, committer: GroupCommitter) -> None:
    storage.fail = once(Conflict(), times=5)
    found = await answers(begin(committer, user("a"), user("b")))
    assert all(isinstance(answer, CommitResult) for answer in found)
    assert storage.sizes == [2] * 6
    assert storage.groups == [["a", "b"]]


async def test_endless_conflict_is_given_up_by_the_batch_that_has_it(
    storage: FakeStorage, committer: GroupCommitter
) -> None:
    """It may be about a damaged row: whoever meets it in a group is not to suffer from it."""
    storage.fail = if_in("a", Conflict())
    conflicting, other = await answers(begin(committer, user("a"), user("b")))
    assert isinstance(conflicting, StoreUnavailableError)
    assert isinstance(other, CommitResult)
    assert storage.sizes == [2] * 6 + [1] * 7
    await committer.commit(user("c"))
    assert storage.groups == [["b"], ["c"]]


async def test_only_the_culprit_fails(
    storage: FakeStorage, committer: GroupCommitter, caplog: pytest.LogCaptureFixture
) -> None:
    error = RuntimeError("disk says no")
    storage.fail = if_in("b", error)
    with caplog.at_level(logging.ERROR):
        found = await answers(begin(committer, *map(user, "abc")))
    assert isinstance(found[1], StoreUnavailableError)
    assert found[1].__cause__ is error
    assert isinstance(found[0], CommitResult)
    assert isinstance(found[2], CommitResult)
    assert storage.groups == [["a"], ["c"]]
    assert "disk says no" in caplog.text


async def test_error_before_anything_is_decided_is_replayed_too(
    storage: FakeStorage, committer: GroupCommitter
) -> None:
    storage.fail = once(RuntimeError("load"))
    found = await answers(begin(committer, *map(user, "abc")))
    assert all(isinstance(answer, CommitResult) for answer in found)
    assert storage.groups == [["a"], ["b"], ["c"]]


async def test_conflict_within_a_replay(storage: FakeStorage, committer: GroupCommitter) -> None:
    errors: list[BaseException] = [Conflict(), RuntimeError("first")]
    storage.fail = lambda names: errors.pop() if errors else None
    found = await answers(begin(committer, *map(user, "ab")))
    assert all(isinstance(answer, CommitResult) for answer in found)
    assert storage.groups == [["a"], ["b"]]


async def test_unavailable_store_fails_the_whole_group(
    storage: FakeStorage, committer: GroupCommitter
) -> None:
    storage.fail = once(StoreUnavailableError())
    found = await answers(begin(committer, *map(user, "abc")))
    assert [type(answer) for answer in found] == [StoreUnavailableError] * 3
    assert storage.sizes == [3]


async def test_own_error_of_the_storage_is_kept(storage: FakeStorage, committer: GroupCommitter) -> None:
    error = InternalError("e1")
    storage.fail = if_in("b", error)
    found = await answers(begin(committer, *map(user, "ab")))
    assert found[1] is error


@pytest.mark.parametrize("ready", [0, None])
async def test_storage_that_decides_nothing_leaves_nobody_waiting(
    storage: FakeStorage, committer: GroupCommitter, ready: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(group: Group) -> Iterable[Topic]:
        if ready is not None:
            group.decide(Loaded(Micros(1)), ready)
        return ()

    monkeypatch.setattr(storage, "run", run)
    async with asyncio.timeout(5):
        found = await answers(begin(committer, user("a"), user("b")))
    assert [type(answer) for answer in found] == [UnclearCommitError] * 2


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
async def test_death_of_the_task_leaves_nobody_waiting(
    storage: FakeStorage, committer: GroupCommitter, error: BaseException
) -> None:
    storage.gate = asyncio.Event()
    storage.fail = once(error)
    first = begin(committer, user("a"), user("b"))
    await turns()
    later = begin(committer, user("c"), LEASE)
    await turns()
    storage.gate.set()
    async with asyncio.timeout(5):
        found = await answers([*first, *later])
    assert [type(answer) for answer in found] == [UnclearCommitError] * 2 + [StoreUnavailableError] * 2
    await committer.commit(user("d"))
    assert storage.groups == [["d"]]


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, KeyboardInterrupt])
async def test_change_that_would_end_the_process_refuses_its_batch_alone(
    storage: FakeStorage, committer: GroupCommitter, error: type[BaseException]
) -> None:
    def change(record: StateRecord) -> Changed:
        raise error

    async with asyncio.timeout(5):
        found = await answers(begin(committer, (ChangeState(user_scope("a"), change),), user("b")))
    assert [type(answer) for answer in found] == [BrokenChange, CommitResult]


async def test_death_in_a_replay_leaves_nobody_waiting(
    storage: FakeStorage, committer: GroupCommitter
) -> None:
    errors: list[BaseException] = [asyncio.CancelledError(), RuntimeError("first")]
    storage.fail = lambda names: errors.pop() if errors else None
    async with asyncio.timeout(5):
        found = await answers(begin(committer, *map(user, "abc")))
    assert [type(answer) for answer in found] == [UnclearCommitError] * 3


async def test_same_refusal_is_raised_with_its_own_type(committer: GroupCommitter) -> None:
    class Mine(Exception):
        pass

    error = Mine("mine")

    def change(record: StateRecord) -> Changed:
        raise error

    with pytest.raises(Mine) as raised:
        await committer.commit((ChangeState(user_scope("a"), change),))
    assert raised.value is error


async def test_a_record_that_is_gone_unexpectedly_is_made_anew_with_its_floor_known(
    storage: FakeStorage, committer: GroupCommitter
) -> None:
    """What this process has written it takes to be there; the batches keep their order."""
    [first] = await answers(begin(committer, user("a")))
    assert isinstance(first, CommitResult)
    results = await answers(begin(committer, user("b"), user("a"), user("c")))
    assert all(isinstance(result, CommitResult) for result in results)
    assert storage.groups == [["a"], ["b"], ["a", "c"]]


async def test_a_floor_that_only_a_later_group_loads_is_not_taken_for_known(
    storage: FakeStorage, committer: GroupCommitter
) -> None:
    await answers(begin(committer, user("a")))
    storage.ready = 1
    private = (increment(user_scope("a", isolated_flow="chat")),)
    await answers(begin(committer, user("a"), private))
    assert storage.sizes == [1, 2, 2, 1]
    assert storage.groups == [["a"], [], ["a"], ["a"]]
