"""Sessions that are resolved: one for a key, whoever comes first; moved and freed."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import SessionNotFoundError
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.resolve_keys import (
    ResolveKey,
    decode_held,
    decode_resolved,
    held_document,
    resolve_key,
    resolved_document,
)
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.resolve_writes import HoldResolveKey, ResolveKeyTaken
from flowstate_server.stores.contract.tables import SESSIONS
from flowstate_server.stores.contract.writes import Batch, CommitResult, SessionChanged
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import new_session, take_over
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness


def key_of(n: int, tenant: str = "") -> ResolveKey:
    metadata: JsonObject = {"n": n}
    return resolve_key(Tenant(tenant), "chat", "ada", metadata)


K1, K2 = key_of(1), key_of(2)


def session_key(name: str) -> SessionKey:
    return SessionKey(NO_TENANT, name)


def hold(
    name: str, key: ResolveKey | None, held: ResolveKey | None = None, stale: str = ""
) -> HoldResolveKey:
    return HoldResolveKey(session_key(name), f"log-{name}", key, held, stale)


def resolving(name: str, key: ResolveKey = K1, stale: str = "") -> Batch:
    return (new_session(name, exclusive=True), hold(name, key, stale=stale))


async def resolved(store: Store, key: ResolveKey) -> str | None:
    """The id of the session that the key resolves to: that which it names, and which names it in turn."""
    place = resolved_document(key)
    document = (await store.load_documents((place,))).get(place)
    if document is None:
        return None
    session, log_id = decode_resolved(document)
    held = held_document(session, log_id)
    names = decode_held((await store.load_documents((held,))).get(held))
    return session.session_id if names == key else None


async def check_session_is_resolved(harness: StoreHarness) -> None:
    """A session that was made with a key is the key's; another is refused, and nothing of it is made."""
    store = await harness.open()
    await store.commit(resolving("a"))
    with refused(ResolveKeyTaken):
        await store.commit(resolving("b"))
    assert await store.get_session(session_key("b")) is None
    assert (await resolved(store, K1), await resolved(store, K2)) == ("a", None)
    await store.commit(resolving("b", K2))
    assert (await resolved(store, K1), await resolved(store, K2)) == ("a", "b")


async def check_keys_of_tenants_are_their_own(harness: StoreHarness) -> None:
    """The same flow, user and metadata are another key in another tenant."""
    store = await harness.open()
    await store.commit(resolving("a"))
    other = SessionKey(Tenant("t"), "a")
    create = replace(new_session("a", exclusive=True), key=other)
    await store.commit((create, HoldResolveKey(other, create.log_id, key_of(1, "t"))))
    assert await resolved(store, key_of(1, "t")) == "a"


async def check_racing_resolvers_make_one_session(harness: StoreHarness) -> None:
    """Of many who resolve one key at once one makes the session; the others make nothing."""
    store = await harness.open()
    await _race(store, store)


async def check_racing_resolvers_of_two_handles_make_one_session(harness: StoreHarness) -> None:
    """The same through two handles."""
    await _race(await harness.open(), await harness.open())


async def _race(one: Store, other: Store) -> None:
    for n in range(5):
        names = [f"{n}-{number}" for number in range(10)]
        batches = [resolving(name, key_of(n)) for name in names]
        answers = await settled(
            *(store.commit(batch) for store, batch in zip((one, other) * 5, batches, strict=True))
        )
        assert sum(isinstance(answer, CommitResult) for answer in answers) == 1, answers
        assert sum(isinstance(answer, ResolveKeyTaken) for answer in answers) == 9, answers
        [made] = [name for name in names if await one.get_session(session_key(name)) is not None]
        assert await resolved(other, key_of(n)) == made


async def check_key_moves(harness: StoreHarness) -> None:
    """A moved key frees the one before; a taken one is refused and the session keeps its own."""
    store = await harness.open()
    await store.commit(resolving("a"))
    await store.commit((hold("a", K2, K1),))
    assert (await resolved(store, K1), await resolved(store, K2)) == (None, "a")
    await store.commit(resolving("b"))
    for name, wanted, held in (("a", K1, K2), ("b", K2, K1)):
        with refused(ResolveKeyTaken):
            await store.commit((hold(name, wanted, held),))
    result = await store.commit((hold("a", K2, K2),))
    assert not result.results[0].changed
    assert (await resolved(store, K1), await resolved(store, K2)) == ("b", "a")


async def check_key_moves_from_wherever_it_is(harness: StoreHarness) -> None:
    """Whoever moves a key need not know where it was; a document that stays behind resolves nothing, and is taken."""
    store = await harness.open()
    await store.commit(resolving("a"))
    await store.commit((hold("a", K2, K1),))
    await store.commit((hold("a", key_of(3), K1),))
    assert [await resolved(store, key) for key in (K1, K2, key_of(3))] == [None, None, "a"]
    stale = (await store.load_documents((resolved_document(K2),)))[resolved_document(K2)].incarnation
    with refused(ResolveKeyTaken):
        await store.commit(resolving("b", K2))
    await store.commit(resolving("b", K2, stale))
    assert await resolved(store, K2) == "b"
    with refused(ResolveKeyTaken):
        await store.commit((hold("a", K2, key_of(3), stale),))


async def check_key_that_moves_back_is_not_stale(harness: StoreHarness) -> None:
    """Whoever has found a document stale does not get it once its session is resolved by it again."""
    store = await harness.open()
    await store.commit(resolving("a"))
    await store.commit((hold("a", K2, key_of(9)),))
    stale = (await store.load_documents((resolved_document(K1),)))[resolved_document(K1)].incarnation
    await store.commit((hold("a", K1, K2),))
    with refused(ResolveKeyTaken):
        await store.commit(resolving("b", K1, stale))
    assert await resolved(store, K1) == "a"


async def check_keys_are_held_by_sessions_that_live(harness: StoreHarness) -> None:
    """No session that is not there, or is another incarnation, is resolved; none begins to be by a move."""
    store = await harness.open()
    await store.commit((new_session("a"),))
    with refused(SessionChanged):
        await store.commit((replace(hold("a", K1), log_id="other"),))
    with refused(SessionNotFoundError, session_id="nobody"):
        await store.commit((hold("nobody", K1),))
    result = await store.commit((hold("a", K2, K1),))
    assert not result.results[0].changed
    assert [await resolved(store, key) for key in (K1, K2)] == [None, None]


async def check_racing_movers_leave_one_key(harness: StoreHarness) -> None:
    """Of those who move a key at once all are done, and the session is resolved by one key in the end."""
    store = await harness.open()
    await store.commit(resolving("a"))
    keys = [key_of(number) for number in range(2, 10)]
    answers = await settled(*(store.commit((hold("a", key, K1),)) for key in keys))
    assert all(isinstance(answer, CommitResult) for answer in answers), answers
    assert [await resolved(store, key) for key in [K1, *keys]].count("a") == 1


async def check_key_is_freed(harness: StoreHarness) -> None:
    """A freed key is anybody's, and its session resolved by none."""
    store = await harness.open()
    await store.commit(resolving("a"))
    await store.commit((hold("a", None, K1),))
    assert await resolved(store, K1) is None
    result = await store.commit((hold("a", None),))
    assert not result.results[0].changed
    await store.commit(resolving("b"))
    assert await resolved(store, K1) == "b"


async def check_key_of_a_dead_session_is_taken_once(harness: StoreHarness) -> None:
    """The key of a session that was found dead is taken over, by one of those who found it so."""
    store = await harness.open()
    await store.commit(resolving("a"))
    session = await store.get_session(session_key("a"))
    assert session is not None
    await take_over(store, SESSIONS, [replace(session, delete_time=session.create_time)])
    place = resolved_document(K1)
    stale = (await store.load_documents((place,)))[place].incarnation
    answers = await settled(*(store.commit(resolving(f"b{number}", stale=stale)) for number in range(5)))
    assert sum(isinstance(answer, ResolveKeyTaken) for answer in answers) == 4, answers
    assert str(await resolved(store, K1)).startswith("b")


async def check_key_is_freed_by_a_deletion(harness: StoreHarness) -> None:
    """A session that is deleted is resolved no more: its key makes another one, and a key of that one stays."""
    store = await harness.open()
    await store.commit(resolving("a"))
    await store.commit((DeleteSession(session_key("a"), "log-a", held=K1),))
    assert await store.load_documents((resolved_document(K1),)) == {}
    await store.commit(resolving("b"))
    await store.commit((replace(new_session("a", exclusive=True), log_id="anew"),))
    assert await resolved(store, K1) == "b"
    await store.commit((DeleteSession(session_key("a"), "anew", held=K1),))  # as who has found it so before
    assert await resolved(store, K1) == "b"


async def check_key_of_a_deleted_session_is_taken(harness: StoreHarness) -> None:
    """Also where whoever deleted the session did not know that it was resolved."""
    store = await harness.open()
    await store.commit(resolving("a"))
    place = resolved_document(K1)
    stale = (await store.load_documents((place,)))[place].incarnation
    await store.commit((DeleteSession(session_key("a"), "log-a"),))
    while await store.sweep_sessions(retention=Micros(0), limit=10):
        pass
    assert await resolved(store, K1) is None
    await store.commit(resolving("b", stale=stale))
    assert await resolved(store, K1) == "b"


async def check_resolved_sessions_are_kept(harness: StoreHarness) -> None:
    """A key resolves to its session after the store was opened again."""
    store = await harness.open()
    await store.commit(resolving("a"))
    store = await harness.reopen(store)
    assert await resolved(store, K1) == "a"
    with refused(ResolveKeyTaken):
        await store.commit(resolving("b"))


async def check_crashes_while_a_key_is_taken_or_moved(harness: StoreHarness) -> None:
    """A commit that dies midway leaves the key where it was, or all of it is done."""
    store = await harness.open()
    await store.commit((new_session("seed"),))
    for statements in range(12):
        made, moved = f"made-{statements}", key_of(1000 + statements)
        for batch, before, after in (
            (resolving(made, key_of(statements)), None, made),
            ((hold(made, moved, key_of(statements)),), None, made),
        ):
            key = key_of(statements) if len(batch) == 2 else moved
            if len(batch) == 1 and await store.get_session(session_key(made)) is None:
                continue
            harness.crash_after(store, statements)
            await settled(store.commit(batch))
            store = await harness.reopen(store)
            now = await resolved(store, key)
            assert now in (before, after)
            assert (await store.get_session(session_key(made)) is not None) == (
                now == made or len(batch) == 1
            )
