"""Concurrent writers: one winner per version, nothing lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import VersionMismatchError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import ScopeKey, SessionKey, session_scope, user_scope
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    AppendEvents,
    AtVersion,
    ChangeState,
    PutIdempotencyKey,
    UpdateSession,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    events_of,
    head_of,
    increment,
    new_request,
    new_session,
    note,
    number,
    open_scene,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import settled
from flowstate_server.testing.store_contract.harness import StoreHarness

ADA = user_scope("ada")


def _must_be_absent(key: ScopeKey) -> ChangeState:
    """A condition, and no change."""
    return ChangeState(key, lambda _: NO_CHANGE, precondition=AtVersion(0))


async def check_concurrent_increments_all_count(harness: StoreHarness) -> None:
    """Of a hundred increments at once each makes a version of its own and none is lost."""
    store = await harness.open()
    results = await asyncio.gather(*(store.commit((increment(ADA),)) for _ in range(100)))
    assert sorted(result.results[0].version for result in results) == list(range(1, 101))
    record = await state_of(store, ADA)
    assert (record.version, record.state) == (100, {"n": 100})
    for result in results:
        written = result.results[0].state
        assert written is not None
        assert number(written) == written.version


async def check_increments_of_two_handles_all_count(harness: StoreHarness) -> None:
    """The same through two handles."""
    one, other = await harness.open(), await harness.open()
    results = await asyncio.gather(*((one, other)[i % 2].commit((increment(ADA),)) for i in range(100)))
    assert sorted(result.results[0].version for result in results) == list(range(1, 101))
    for store in (one, other):
        assert (await state_of(store, ADA)).state == {"n": 100}


async def check_one_writer_wins_a_version(harness: StoreHarness) -> None:
    """Of ten writers that ask for one version exactly one gets it, the others learn the current one."""
    store = await harness.open()
    for version in range(5):
        write = replace(increment(ADA), precondition=AtVersion(version))
        answers = await settled(*(store.commit((write,)) for _ in range(10)))
        lost = [answer for answer in answers if isinstance(answer, VersionMismatchError)]
        assert len(lost) == 9
        assert {error.current for error in lost} == {version + 1}


async def check_one_writer_of_two_handles_wins_a_version(harness: StoreHarness) -> None:
    """The same for two writers at two handles."""
    one, other = await harness.open(), await harness.open()
    for version in range(20):
        write = replace(increment(ADA), precondition=AtVersion(version))
        answers = await settled(one.commit((write,)), other.commit((write,)))
        assert sum(isinstance(answer, VersionMismatchError) for answer in answers) == 1, answers


async def check_a_repeat_is_one_although_its_precondition_no_longer_holds(harness: StoreHarness) -> None:
    """Of a commit with a key and a precondition that two handles make at once, one is a repeat, not too late."""
    one, other = await harness.open(), await harness.open()
    for version in range(40):
        key = IdempotencyKey(NO_TENANT, "p", "m", str(version))
        batch = (
            PutIdempotencyKey(key, "print", Micros(60 * SECOND)),
            replace(increment(ADA), precondition=AtVersion(version)),
        )
        answers = await asyncio.gather(one.commit(batch), other.commit(batch))
        assert sorted(answer.replayed for answer in answers) == [False, True]
        assert {answer.results[-1].version for answer in answers} == {version + 1}
        assert (await state_of(one, ADA)).version == version + 1


async def check_a_repeated_request_attaches_although_its_precondition_no_longer_holds(
    harness: StoreHarness,
) -> None:
    """Of a request that two handles create at once, with a precondition that one can meet, the other is the first's."""
    one, other = await harness.open(), await harness.open()
    scene = await open_scene(one)
    for version in range(40):
        create = new_request(scene.session, f"race-{version}")
        batch = (replace(increment(ADA), precondition=AtVersion(version)), create)
        answers = await asyncio.gather(one.commit(batch), other.commit(batch))
        (attached,) = [answer.attached for answer in answers if answer.attached is not None]
        assert attached.key == create.key


async def check_of_two_that_each_need_the_others_record_absent_one_is_done(harness: StoreHarness) -> None:
    """Two handles each make a record on the condition that the other's is not there: in any order one of them fails."""
    one, other = await harness.open(), await harness.open()
    for number_of in range(30):
        left, right = user_scope(f"left-{number_of}"), user_scope(f"right-{number_of}")
        answers = await settled(
            one.commit((_must_be_absent(left), increment(right))),
            other.commit((_must_be_absent(right), increment(left))),
        )
        assert sum(isinstance(answer, VersionMismatchError) for answer in answers) == 1, answers
        states = await one.load_states([left, right])
        assert sorted(state.version for state in states.values() if state.version) == [1], answers


async def check_of_many_that_need_the_next_record_absent_not_all_are_done(harness: StoreHarness) -> None:
    """The same in a ring: each makes its own record on the condition that the next one's is absent."""
    handles = [await harness.open(), await harness.open(), await harness.open()]
    for number_of in range(20):
        keys = [user_scope(f"{name}-{number_of}") for name in "abc"]
        rings = zip(handles, keys, [*keys[1:], keys[0]], strict=True)
        answers = await settled(
            *(store.commit((_must_be_absent(after), increment(key))) for store, key, after in rings)
        )
        assert any(isinstance(answer, VersionMismatchError) for answer in answers), answers


async def check_writers_of_different_fields_all_land(harness: StoreHarness) -> None:
    """Writers of different fields of one record lose nothing."""
    store = await harness.open()
    session = SessionKey(NO_TENANT, "session-1")
    await store.commit((new_session(),))
    key = session_scope(session)
    await asyncio.gather(*(store.commit((increment(key, f"field-{i}"),)) for i in range(70)))
    record = await state_of(store, key)
    assert record.state == {f"field-{i}": 1 for i in range(70)}


async def check_compare_and_swap_loops_lose_nothing(harness: StoreHarness) -> None:
    """Read-modify-write loops by version lose nothing."""
    store = await harness.open()

    async def swap(through: Store) -> None:
        while True:
            version = (await state_of(through, ADA)).version
            try:
                await through.commit((replace(increment(ADA), precondition=AtVersion(version)),))
            except VersionMismatchError:
                continue
            return

    await asyncio.gather(*(swap(store) for _ in range(20)))
    assert (await state_of(store, ADA)).state == {"n": 20}


async def check_read_at_another_handle_sees_what_was_acknowledged(harness: StoreHarness) -> None:
    """A read sees every commit that any handle was answered before it began, whatever either has read before."""
    writer, reader = await harness.open(), await harness.open()
    scene = await open_scene(writer)
    for number_of in range(1, 21):
        title = f"title {number_of}"
        update = UpdateSession(scene.session, {"title": title})
        await scene.commit(increment(ADA), update, AppendEvents(scene.session, (note(title),), scene.request))
        assert number(await state_of(reader, ADA)) == number_of
        session = await reader.get_session(scene.session)
        assert session is not None
        assert session.title == title
        assert (await head_of(reader, scene.request)).sequence == number_of
        assert len(await events_of(reader, scene.request)) == number_of
        projection = await reader.read_projection(scene.session, (ADA,))
        assert projection is not None
        assert number(projection.states[ADA]) == number_of
        writer, reader = reader, writer
        scene = replace(scene, store=writer)


async def check_busy_handles_all_get_their_turn(harness: StoreHarness) -> None:
    """Of four handles that commit without a pause none starves."""
    stores = [await harness.open() for _ in range(4)]
    counts = [0] * len(stores)
    keys = [user_scope(f"user-{position}") for position in range(len(stores))]
    for _ in range(5):  # they may connect, and prepare what they do, only now
        for store, key in zip(stores, keys, strict=True):
            await store.commit((increment(key),))

    async def work(position: int) -> None:
        while max(counts) < 200:
            await stores[position].commit((increment(keys[position]),))
            counts[position] += 1

    await asyncio.gather(*(work(position) for position in range(len(stores)) for _ in range(2)))
    assert min(counts) >= 5, counts
