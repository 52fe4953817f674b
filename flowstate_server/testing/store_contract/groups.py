"""Groups: batches share a transaction, never their fate."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

from flowstate_server.errors import (
    LeaseLostError,
    RequestNotFoundError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import RequestKey, SessionKey, user_scope
from flowstate_server.stores.contract.backend import LOAD_LIMIT
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    AtVersion,
    Batch,
    Changed,
    ChangeState,
    PartlyCommitted,
    RenewLease,
    RequestCancel,
    RequireRun,
    Savepoint,
    UpdateSession,
    Write,
)
from flowstate_server.testing.store_contract.builders import (
    LEASE,
    PROCESS,
    events_of,
    finish,
    increment,
    new_session,
    note,
    number,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import settled
from flowstate_server.testing.store_contract.harness import StoreHarness

ADA = user_scope("ada")


class Broken(Exception):
    pass


async def check_one_bad_batch_leaves_the_others(harness: StoreHarness) -> None:
    """A batch that fails, in whatever way, fails alone; its group commits without it."""
    store = await harness.open()
    scene = await open_scene(store)
    not_json = cast(JsonObject, {"value": {1, 2}})

    def broken(record: StateRecord) -> Changed:
        raise Broken

    def stops(record: StateRecord) -> Changed:
        raise StopIteration

    bad: list[tuple[Any, type[Exception]]] = [
        ((increment(ADA), ChangeState(ADA, broken)), Broken),
        ((increment(ADA), replace(increment(ADA), precondition=AtVersion(99))), VersionMismatchError),
        ((increment(ADA), AppendEvents(SessionKey(NO_TENANT, "none"), (note(),))), SessionNotFoundError),
        ((increment(ADA), RequestCancel(RequestKey(NO_TENANT, "none"), "")), RequestNotFoundError),
        ((increment(ADA), finish(scene.request, payload=not_json)), TypeError),
        ((increment(ADA), UpdateSession(scene.session, {"metadata": not_json})), TypeError),
        ((increment(ADA), replace(new_session("bad"), metadata=not_json)), TypeError),
        ((increment(ADA), replace(new_session("bad"), title="\ud800")), TypeError),
        ((increment(ADA), ChangeState(ADA, stops)), RuntimeError),
    ]
    good = (increment(ADA), AppendEvents(scene.session, (note(),), scene.request))
    calls = [store.commit(good)]
    for batch, _ in bad:
        calls += [store.commit(batch), store.commit(good)]
    answers = await settled(*calls)
    for (_, error), answer in zip(bad, answers[1::2], strict=True):
        assert isinstance(answer, error), answer
    versions = [answer.results[0].version for answer in answers[::2]]
    assert versions == list(range(1, len(bad) + 2))
    assert len(await events_of(store, scene.request)) == len(bad) + 1
    assert (await state_of(store, ADA)).state == {"n": len(bad) + 1}
    assert await store.get_session(SessionKey(NO_TENANT, "bad")) is None


async def check_what_stands_before_a_savepoint_is_kept(harness: StoreHarness) -> None:
    """What stands before a savepoint is committed, in order, even if what is behind it is refused."""
    store = await harness.open()
    scene = await open_scene(store)
    guard, late = RequireRun(scene.request, PROCESS), replace(increment(ADA), precondition=AtVersion(99))

    def broken(record: StateRecord) -> Changed:
        raise Broken

    def emitting(text: str, *writes: Write) -> Batch:
        return (guard, AppendEvents(scene.session, (note(text),), scene.request), Savepoint(), *writes)

    first, lost, failed, last = await settled(
        store.commit(emitting("first", increment(ADA))),
        store.commit(emitting("second", increment(ADA), late)),
        store.commit(emitting("third", ChangeState(ADA, broken))),
        store.commit(emitting("fourth", increment(ADA))),
    )
    assert [answer.results[-1].version for answer in (first, last)] == [1, 2]
    assert isinstance(lost, PartlyCommitted)
    assert isinstance(failed, PartlyCommitted)
    assert isinstance(lost.error, VersionMismatchError)
    assert lost.error.refused_write == 4
    assert isinstance(failed.error, Broken)
    heads = [answer.result.results[1].head for answer in (lost, failed)]
    assert [head.sequence for head in heads if head is not None] == [2, 3]
    told = [record.event.payload for record in await events_of(store, scene.request)]
    assert told == [note(text).payload for text in ("first", "second", "third", "fourth")]
    assert (await state_of(store, ADA)).state == {"n": 2}
    nobody = replace(guard, process="nobody")
    (refused,) = await settled(
        store.commit((nobody, AppendEvents(scene.session, (note(),), scene.request), Savepoint(), late))
    )
    assert isinstance(refused, LeaseLostError)
    assert len(await events_of(store, scene.request)) == 4


async def check_group_of_only_bad_batches(harness: StoreHarness) -> None:
    """A group of nothing but refused batches writes nothing and answers each."""
    store = await harness.open()
    late = replace(increment(ADA), precondition=AtVersion(99))
    answers = await settled(*(store.commit((increment(ADA), late)) for _ in range(10)))
    assert all(isinstance(answer, VersionMismatchError) for answer in answers)
    assert not (await state_of(store, ADA)).exists


async def check_batches_at_once_are_committed_in_order(harness: StoreHarness) -> None:
    """Batches given at once are committed in the order in which they were given."""
    store = await harness.open()
    answers = await asyncio.gather(*(store.commit((increment(ADA),)) for _ in range(200)))
    assert [answer.results[0].version for answer in answers] == list(range(1, 201))


async def check_batch_sees_the_one_before_it_in_its_group(harness: StoreHarness) -> None:
    """A batch sees what an earlier batch of its group has written."""
    store = await harness.open()
    await asyncio.gather(
        store.commit((new_session(),)),
        store.commit((UpdateSession(SessionKey(NO_TENANT, "session-1"), {"title": "t"}),)),
        store.commit((AppendEvents(SessionKey(NO_TENANT, "session-1"), (note(),)),)),
    )
    session = await store.get_session(SessionKey(NO_TENANT, "session-1"))
    assert session is not None
    assert (session.title, session.version) == ("t", 2)


async def check_groups_over_the_load_limit_are_split(harness: StoreHarness) -> None:
    """Batches whose documents exceed the load limit together are all committed, over several groups."""
    store = await harness.open()
    users = [user_scope(f"user-{name}") for name in range(25)]
    large = "x" * (LOAD_LIMIT // 10)
    for key in users:
        await store.commit((put(key, {"n": 0, "large": large}),))
    answers = await asyncio.gather(*(store.commit((increment(key),)) for key in users for _ in range(3)))
    assert [answer.results[0].version for answer in answers] == [2, 3, 4] * len(users)
    states = await store.load_states(users)
    assert all(number(states[key]) == 3 and states[key].state["large"] == large for key in users)


async def check_batch_that_is_over_the_load_limit_alone(harness: StoreHarness) -> None:
    """A single batch may load more than the limit."""
    store = await harness.open()
    users = [user_scope(f"user-{name}") for name in range(12)]
    large = "x" * (LOAD_LIMIT // 10)
    await store.commit(tuple(put(key, {"large": large}) for key in users))
    results = await asyncio.gather(*(store.commit(tuple(increment(key) for key in users)) for _ in range(3)))
    assert [{write.version for write in result.results} for result in results] == [{2}, {3}, {4}]


async def check_slow_changes_are_all_answered(harness: StoreHarness) -> None:
    """A group that takes long to decide goes on in the next one."""
    store = await harness.open()

    def slow(record: StateRecord) -> Changed:
        sum(range(100_000))
        return Changed({"n": number(record) + 1}, b'{"n":%d}' % (number(record) + 1))

    answers = await asyncio.gather(*(store.commit((ChangeState(ADA, slow),)) for _ in range(40)))
    assert [answer.results[0].version for answer in answers] == list(range(1, 41))
    assert (await state_of(store, ADA)).state == {"n": 40}


async def check_empty_batch(harness: StoreHarness) -> None:
    """A batch of nothing is answered with the store's time."""
    store = await harness.open()
    before = await store.time()
    result = await store.commit(())
    assert result.results == ()
    assert before <= result.time <= await store.time()


async def check_leases_are_renewed_beside_a_backlog(harness: StoreHarness) -> None:
    """A lone lease renewal does not wait for the batches that came before it."""
    store = await harness.open()
    await store.commit((RenewLease("process", LEASE, start=True),))
    backlog = [asyncio.create_task(store.commit((increment(ADA),))) for _ in range(500)]
    await asyncio.sleep(0)
    await store.commit((RenewLease("process", LEASE),))
    assert not backlog[-1].done()
    await asyncio.gather(*backlog)


async def check_time_never_runs_backwards(harness: StoreHarness) -> None:
    """The store's time, read or given to commits, never goes back."""
    store = await harness.open()
    times = []
    for _ in range(20):
        times.append(await store.time())
        times.append((await store.commit((increment(ADA),))).time)
    assert times == sorted(times)


async def check_time_of_two_handles_never_runs_backwards(harness: StoreHarness) -> None:
    """The store's time is one clock for all handles, in the order of their calls."""
    stores = (await harness.open(), await harness.open())
    times = []
    for number_of in range(20):
        times.append((await stores[number_of % 2].commit((increment(ADA),))).time)
        times.append(await stores[(number_of + 1) % 2].time())
    assert times == sorted(times)
