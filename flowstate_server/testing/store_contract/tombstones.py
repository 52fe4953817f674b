"""Deleted user and org records: what stays of them, what is forgotten, and that no version comes twice."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import StoreUnavailableError, VersionMismatchError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import org_scope, user_scope
from flowstate_server.model.tombstones import DeletedState, deleted_state, deleted_states, last_deletion_key
from flowstate_server.stores.contract.tombstone_writes import ForgetState, Withheld, Withhold
from flowstate_server.stores.contract.writes import (
    AtVersion,
    Batch,
    CommitResult,
    DeleteState,
    Exists,
    PutIdempotencyKey,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import increment, new_session, put, state_of
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

MINUTE = Micros(60 * SECOND)
ADA = user_scope("ada")
OWN = user_scope("ada", isolated_flow="chat")


async def check_deleted_records_are_told_until_they_are_forgotten(harness: StoreHarness) -> None:
    """What was deleted is told, the oldest first, until it is forgotten; then the record is as if never written."""
    store = await harness.open()
    keys = (ADA, user_scope("bob", isolated_flow="chat"), org_scope("acme"))
    for key in keys:
        await store.commit((put(key, {"a": 1}), DeleteState(key)))
    found = await _deleted(store)
    assert tuple(one.key for one in found) == keys
    assert all(one.version == 1 and one.incarnation for one in found)
    assert found[0].delete_time <= found[1].delete_time <= found[2].delete_time
    forgotten = await store.commit((ForgetState(found[0]), ForgetState(found[2])))
    assert [result.changed for result in forgotten.results] == [True, True]
    assert [one.key for one in await _deleted(store)] == [keys[1]]
    record = await state_of(store, ADA)
    assert (record.version, record.exists, record.incarnation) == (0, False, "")
    assert (await state_of(store, keys[1])).version == 1
    again = await store.commit((ForgetState(found[0]),))
    assert not again.results[0].changed


async def check_no_version_comes_twice(harness: StoreHarness) -> None:
    """A record made anew begins above the floor of its owner, whichever of its records has raised it."""
    store = await harness.open()
    await store.commit((increment(OWN), increment(OWN), increment(OWN), DeleteState(OWN)))
    await store.commit((increment(ADA), DeleteState(ADA)))
    await _forget_all(store)
    created = await store.commit((replace(increment(ADA), precondition=AtVersion(0)), increment(ADA)))
    assert [result.version for result in created.results] == [4, 5]
    assert (await state_of(store, ADA)).state == {"n": 2}
    await store.commit((DeleteState(ADA),))
    await _forget_all(store)
    await store.commit((increment(user_scope("bob")), increment(OWN)))
    assert [(await state_of(store, key)).version for key in (user_scope("bob"), OWN)] == [1, 6]


async def check_a_tombstone_raises_no_floor(harness: StoreHarness) -> None:
    """As long as it is there the other records of its owner begin where they would without it."""
    store = await harness.open()
    await store.commit((increment(OWN), increment(OWN), DeleteState(OWN)))
    result = await store.commit((increment(ADA),))
    assert result.results[0].version == 1


async def check_the_floor_outlives_its_process(harness: StoreHarness) -> None:
    """Versions go on in a process that has never written the record."""
    store = await harness.open()
    await store.commit((increment(ADA), increment(ADA), DeleteState(ADA)))
    await _forget_all(store)
    store = await harness.reopen(store)
    result = await store.commit((increment(ADA),))
    assert result.results[0].version == 3


async def check_a_record_forgotten_behind_its_writer(harness: StoreHarness) -> None:
    """Whoever has written a record that another process then deletes and forgets makes it anew above that."""
    one, other = await harness.open(), await harness.open()
    await one.commit((increment(ADA), increment(ADA)))
    await other.commit((DeleteState(ADA),))
    await _forget_all(other)
    result = await one.commit((increment(ADA), increment(ADA)))
    assert [write.version for write in result.results] == [3, 4]


async def check_what_was_made_anew_is_not_forgotten(harness: StoreHarness) -> None:
    """Forgetting takes the tombstone that it names and no later one, and nothing that lives."""
    store = await harness.open()
    await store.commit((increment(ADA), DeleteState(ADA)))
    [old] = await _deleted(store)
    await store.commit((increment(ADA),))
    await store.commit((ForgetState(old),))
    assert (await state_of(store, ADA)).state == {"n": 1}
    assert await _deleted(store) == []
    assert not await store.load_documents((last_deletion_key(ADA),))
    await store.commit((DeleteState(ADA),))
    await store.commit((ForgetState(old),))
    tombstone = await state_of(store, ADA)
    assert (tombstone.version, tombstone.exists) == (2, False)
    assert await store.load_documents((last_deletion_key(ADA),))
    await _forget_all(store)
    assert (await state_of(store, ADA)).version == 0


async def check_creators_after_forgetting_agree(harness: StoreHarness) -> None:
    """Of many that make a forgotten record anew at once, one begins it and nobody's write is lost."""
    store = await harness.open()
    await store.commit((increment(ADA), increment(ADA), DeleteState(ADA)))
    await _forget_all(store)
    results = await asyncio.gather(*[store.commit((increment(ADA),)) for _ in range(20)])
    assert sorted(result.results[0].version for result in results) == list(range(3, 23))
    assert (await state_of(store, ADA)).state == {"n": 20}


async def check_forgetting_races_with_making_anew(harness: StoreHarness) -> None:
    """However the two meet, versions only grow, and every write is there."""
    store = await harness.open()
    highest = 0
    for _ in range(10):
        await store.commit((increment(ADA), DeleteState(ADA)))
        [old] = await _deleted(store)
        highest = old.version
        _, made = await asyncio.gather(
            store.commit((ForgetState(old),)), store.commit((increment(ADA), increment(ADA)))
        )
        assert [one.version for one in made.results] == [highest + 1, highest + 2]
        assert (await state_of(store, ADA)).state == {"n": 2}
        await store.commit((DeleteState(ADA),))
        await _forget_all(store)
    assert highest > 20


async def check_delete_of_what_may_be_missing(harness: StoreHarness) -> None:
    """Where a record may be missing, a precondition is about one that is there."""
    store = await harness.open()
    absent = await store.commit((DeleteState(ADA, AtVersion(3), allow_missing=True),))
    assert not absent.results[0].changed
    await store.commit((increment(ADA),))
    with refused(VersionMismatchError, expected="3", current=1):
        await store.commit((DeleteState(ADA, AtVersion(3), allow_missing=True),))
    await store.commit((DeleteState(ADA, AtVersion(1), allow_missing=True),))
    repeated = await store.commit((DeleteState(ADA, AtVersion(1), allow_missing=True),))
    assert not repeated.results[0].changed


async def check_preconditions_know_incarnations(harness: StoreHarness) -> None:
    """Whoever names an incarnation meets neither its tombstone nor what was made anew."""
    store = await harness.open()
    await store.commit((increment(ADA),))
    seen = (await state_of(store, ADA)).incarnation
    await store.commit((DeleteState(ADA),))
    with refused(VersionMismatchError, expected="another incarnation", current=1):
        await store.commit((replace(increment(ADA), precondition=AtVersion(1, seen)),))
    with refused(VersionMismatchError, expected="exists", current=1):
        await store.commit((replace(increment(ADA), precondition=Exists(True, seen)),))
    await store.commit((increment(ADA),))
    with refused(VersionMismatchError, expected="another incarnation", current=2):
        await store.commit((replace(increment(ADA), precondition=Exists(True, seen)),))
    with refused(VersionMismatchError, expected="another incarnation", current=2):
        await store.commit((DeleteState(ADA, AtVersion(2, seen)),))
    present = (await state_of(store, ADA)).incarnation
    await store.commit((replace(increment(ADA), precondition=AtVersion(2, present)),))
    await store.commit((DeleteState(ADA, Exists(True, present)),))
    assert not (await state_of(store, ADA)).exists


async def check_withheld_batches_write_nothing(harness: StoreHarness) -> None:
    """A batch that is only to be decided tells what it would do, and leaves nothing: no record, no event, no key."""
    store = await harness.open()
    key = PutIdempotencyKey(IdempotencyKey(NO_TENANT, "p", "m", "k"), "print", MINUTE)
    await store.commit((increment(ADA),))
    batch = (key, new_session(), increment(ADA), increment(OWN))
    told = await _withheld(store, (*batch, Withhold()))
    assert [result.version for result in told.results[2:]] == [2, 1]
    assert told.results[2].state is not None
    assert told.results[2].state.state == {"n": 2}
    assert await store.get_session(new_session().key) is None
    assert [(await state_of(store, one)).version for one in (ADA, OWN)] == [1, 0]
    with refused(VersionMismatchError, current=1):
        await store.commit((replace(increment(ADA), precondition=AtVersion(7)), Withhold()))
    done = await store.commit(batch)
    assert not done.replayed
    assert [(await state_of(store, one)).version for one in (ADA, OWN)] == [2, 1]
    repeated = await store.commit((*batch, Withhold()))
    assert repeated.replayed


async def check_dying_while_records_are_deleted_leaves_all_or_nothing(harness: StoreHarness) -> None:
    """A process that dies while it deletes records, and writes another, leaves all of it or nothing."""
    store = await harness.open()
    bob, done, highest = user_scope("bob"), 0, 0
    for statements in range(200):
        await store.commit((increment(ADA), increment(OWN)))
        harness.crash_after(store, statements)
        [answer] = await settled(store.commit((increment(bob), DeleteState(ADA), DeleteState(OWN))))
        store = await harness.reopen(store)
        states = await store.load_states((ADA, OWN, bob))
        gone = states[bob].version > done
        assert [states[key].exists for key in (ADA, OWN)] == [not gone, not gone]
        assert sorted(one.key for one in await _deleted(store)) == (sorted((ADA, OWN)) if gone else [])
        assert states[ADA].version > highest
        highest = max(highest, states[ADA].version)
        if gone:
            done += 1
            assert states[bob].version == done
            await _forget_all(store)
        if not isinstance(answer, Exception):
            assert gone
            return
        assert isinstance(answer, StoreUnavailableError), answer
    raise AssertionError("the commit was never done")


async def check_dying_while_records_are_forgotten_leaves_all_or_nothing(harness: StoreHarness) -> None:
    """A process that dies while it forgets records has forgotten all of a batch or none, and no version comes again."""
    store = await harness.open()
    for statements in range(200):
        await store.commit((increment(ADA), increment(OWN), DeleteState(ADA), DeleteState(OWN)))
        found = await _deleted(store)
        harness.crash_after(store, statements)
        [answer] = await settled(store.commit(tuple([ForgetState(one) for one in found])))
        store = await harness.reopen(store)
        left = [(await state_of(store, key)).version for key in (ADA, OWN)]
        assert left in ([one.version for one in found], [0, 0])
        assert len(await _deleted(store)) == (2 if any(left) else 0)
        written = await store.commit((increment(ADA),))
        assert written.results[0].version > found[0].version
        await store.commit((DeleteState(ADA),))
        await _forget_all(store)
        if not isinstance(answer, Exception):
            return
        assert isinstance(answer, StoreUnavailableError), answer
    raise AssertionError("the commit was never done")


async def _withheld(store: Store, batch: Batch) -> CommitResult:
    try:
        await store.commit(batch)
    except Withheld as withheld:
        return withheld.result
    raise AssertionError("it was committed")


async def _deleted(store: Store) -> list[DeletedState]:
    return [deleted_state(document) for document in await store.read_documents(deleted_states(100))]


async def _forget_all(store: Store) -> None:
    for one in await _deleted(store):
        await store.commit((ForgetState(one),))
