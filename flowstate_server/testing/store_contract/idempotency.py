"""Calls that are repeated under an idempotency key."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import (
    IdempotencyKeyReusedError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.journal import Note
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import SessionKey, session_scope, user_scope
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.document_writes import AppendJournal
from flowstate_server.stores.contract.item_writes import AppendItems
from flowstate_server.stores.contract.writes import (
    AtVersion,
    CreateSession,
    DeleteState,
    PutIdempotencyKey,
    RequireSession,
    SessionChanged,
    UpdateSession,
    Write,
)
from flowstate_server.testing.store_contract.builders import (
    events_of,
    increment,
    item_done,
    new_session,
    note,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

KEY = IdempotencyKey(Tenant("tenant"), "principal", "method", "key")
PUT = PutIdempotencyKey(KEY, "print", Micros(60 * SECOND))
ADA = user_scope("ada")


async def check_repeat_is_answered_from_memory(harness: StoreHarness) -> None:
    """A repeat under a known idempotency key writes nothing and gives the first ids, versions and changes."""
    store = await harness.open()
    session = SessionKey(NO_TENANT, "session-1")
    same = UpdateSession(session, {"title": ""})
    batch = (new_session(), increment(ADA), same, PUT)
    first = await store.commit(batch)
    again = await store.commit(batch)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.time >= first.time
    assert [(result.id, result.version, result.changed) for result in again.results] == [
        (result.id, result.version, result.changed) for result in first.results
    ]
    assert [result.changed for result in again.results[:3]] == [True, True, False]
    assert all(result.session is None and result.state is None for result in again.results)
    assert (await state_of(store, ADA)).version == 1


async def check_key_of_another_call_is_refused(harness: StoreHarness) -> None:
    """A known key with another fingerprint refuses the whole batch."""
    store = await harness.open()
    await store.commit((PUT, increment(ADA)))
    with refused(IdempotencyKeyReusedError):
        await store.commit((increment(ADA), replace(PUT, fingerprint="other")))
    assert (await state_of(store, ADA)).version == 1


async def check_keys_of_others_are_other_keys(harness: StoreHarness) -> None:
    """The same key of another tenant, principal or method is another key."""
    store = await harness.open()
    keys = (
        KEY,
        replace(KEY, tenant=NO_TENANT),
        replace(KEY, principal="other"),
        replace(KEY, method="other"),
        replace(KEY, key="Key"),
        IdempotencyKey(Tenant("tenant"), "principalmethod", "", "key"),
        IdempotencyKey(NO_TENANT, "", "", ""),
    )
    for key in keys:
        result = await store.commit((increment(ADA), replace(PUT, key=key)))
        assert not result.replayed
    for key in keys:
        assert (await store.commit((increment(ADA), replace(PUT, key=key)))).replayed
    assert (await state_of(store, ADA)).version == len(keys)


async def check_refused_batch_is_not_remembered(harness: StoreHarness) -> None:
    """A refused batch leaves its idempotency key unused."""
    store = await harness.open()
    batch = (PUT, replace(increment(ADA), precondition=AtVersion(1)))
    with refused(VersionMismatchError):
        await store.commit(batch)
    await store.commit((increment(ADA),))
    assert not (await store.commit(batch)).replayed
    assert (await store.commit(batch)).replayed


async def check_expired_key_is_forgotten(harness: StoreHarness) -> None:
    """A key whose window is over counts as never used."""
    store = await harness.open()
    brief = (increment(ADA), replace(PUT, window=Micros(1)))
    await store.commit(brief)
    assert not (await store.commit(brief)).replayed
    assert not (await store.commit((increment(ADA), replace(PUT, fingerprint="other")))).replayed
    assert (await store.commit((increment(ADA), replace(PUT, fingerprint="other")))).replayed
    assert (await state_of(store, ADA)).version == 3


async def check_equal_keys_at_once_are_one_call(harness: StoreHarness) -> None:
    """Of equal calls at once one is written and the others are replays of it."""
    store = await harness.open()
    answers = await settled(*(store.commit((increment(ADA), PUT)) for _ in range(10)))
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 9
    assert {answer.results[0].version for answer in answers} == {1}
    other = await settled(store.commit((increment(ADA), replace(PUT, fingerprint="other"))))
    assert isinstance(other[0], IdempotencyKeyReusedError)


async def check_equal_keys_through_two_handles_are_one_call(harness: StoreHarness) -> None:
    """Equal calls at once through two handles are written once."""
    one, other = await harness.open(), await harness.open()
    for number in range(10):
        put = replace(PUT, key=replace(KEY, key=str(number)))
        batch = (increment(ADA), put)
        answers = await settled(one.commit(batch), other.commit(batch))
        assert sorted(answer.replayed for answer in answers) == [False, True]
    assert (await state_of(one, ADA)).version == 10


async def check_sweep_takes_expired_keys_only(harness: StoreHarness) -> None:
    """The sweep deletes expired keys, as many as asked for, and leaves the others."""
    store = await harness.open()
    for number in range(5):
        await store.commit((replace(PUT, key=replace(KEY, key=f"brief-{number}"), window=Micros(1)),))
    await store.commit((PUT, increment(ADA)))
    assert [await store.sweep_documents(limit=3) for _ in range(3)] == [3, 2, 0]
    assert (await store.commit((PUT, increment(ADA)))).replayed


async def check_sweep_leaves_a_key_that_was_put_again(harness: StoreHarness) -> None:
    """A key that was used again after it expired is not swept."""
    store = await harness.open()
    await store.commit((increment(ADA), replace(PUT, window=Micros(1))))
    await store.commit((increment(ADA), PUT))
    assert await store.sweep_documents(limit=3) == 0
    assert (await store.commit((increment(ADA), PUT))).replayed


async def check_key_is_forgotten_with_the_session_it_wrote_in(harness: StoreHarness) -> None:
    """A repeat writes in a session made anew, and is refused like any other write while there is none."""
    store, other = await harness.open(), await harness.open()
    create = replace(new_session(), exclusive=True)
    first = (PUT, RequireSession(create.key, create.log_id), *_writes(create))
    await store.commit((create,))
    await store.commit(first)
    assert (await other.commit(first)).replayed
    await store.commit((DeleteSession(create.key),))
    for one in (store, other):
        with refused(SessionNotFoundError):
            await one.commit(first)
    anew = replace(create, log_id="anew")
    await store.commit((anew,))
    for one in (store, other):
        with refused(SessionChanged):
            await one.commit(first)
    again = (PUT, RequireSession(anew.key, anew.log_id), *_writes(anew))
    written = await other.commit(again)
    assert (written.replayed, [result.changed for result in written.results[2:]]) == (False, [True] * 4)
    assert (await store.commit(again)).replayed
    assert (await state_of(store, session_scope(create.key))).state == {"n": 1}
    assert len(await events_of(store, create.key)) == 3
    last = await store.commit((replace(PUT, window=Micros(0)),))
    assert last.replayed
    await store.commit((DeleteSession(create.key),))
    assert not (await other.commit((replace(PUT, window=Micros(0)),))).replayed


async def check_key_of_a_creation_is_forgotten_with_its_session(harness: StoreHarness) -> None:
    """Whoever repeats a creation, which may draw another id, is given a session that lives."""
    store = await harness.open()
    drawn = [replace(new_session(f"drawn-{number}"), exclusive=True) for number in range(3)]
    await store.commit((PUT, drawn[0]))
    again = await store.commit((PUT, drawn[1]))
    assert (again.replayed, again.results[1].id) == (True, "drawn-0")
    await store.commit((DeleteSession(drawn[0].key),))
    assert not (await store.commit((PUT, drawn[2]))).replayed
    again = await store.commit((PUT, drawn[1]))
    assert (again.replayed, again.results[1].id) == (True, "drawn-2")


async def check_key_outlives_user_and_org_records(harness: StoreHarness) -> None:
    """A repeat brings no deleted record back, writes in none made anew, and deletes none that came later."""
    store = await harness.open()
    write, delete = (PUT, increment(ADA)), (replace(PUT, key=replace(KEY, key="delete")), DeleteState(ADA))
    await store.commit(write)
    await store.commit(delete)
    assert (await store.commit(write)).replayed
    assert not (await state_of(store, ADA)).exists
    await store.commit((increment(ADA),))
    assert (await store.commit(delete)).replayed
    assert (await store.commit(write)).replayed
    assert (await state_of(store, ADA)).state == {"n": 1}


def _writes(session: CreateSession) -> tuple[Write, ...]:
    key, log_id = session.key, session.log_id
    return (
        UpdateSession(key, {"title": "new"}),
        AppendItems(key, log_id, (note(), item_done("a"))),
        AppendJournal(key, log_id, (Note("note-1", "text"),)),
        increment(session_scope(key)),
    )
