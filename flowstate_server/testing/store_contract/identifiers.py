"""Ids: any character, up to 128 bytes, never taken for another one."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import ScopeKey, SessionKey, org_scope, session_scope, user_scope
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import PutIdempotencyKey
from flowstate_server.testing.store_contract.builders import (
    events_of,
    item_done,
    new_session,
    note,
    open_scene,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

HOSTILE = (
    *"/|@:'\"%_\\.*?[{;-",
    " ",
    "  ",
    "a",
    "A",
    "a ",
    " a",
    "é",
    "e\u0301",
    "ß",
    "ss",
    "SS",
    "\N{KELVIN SIGN}",
    "K",
    "..",
    "../../etc/passwd",
    "a/b",
    "a%2Fb",
    "a%",
    "a_",
    "ab",
    "'; drop table sessions; --",
    "${x}",
    "null",
    "0",
    "00",
    "1",
    "1.0",
    "1e0",
    "NaN",
    "\N{GRINNING FACE}",
    "\N{GRINNING FACE}" * 32,
    "x" * 127,
    "x" * 128,
    "\ufeffa",
    "a\u200b",
)


async def check_hostile_ids_are_kept_apart(harness: StoreHarness) -> None:
    """Sessions, requests, users, orgs and processes with look-alike or hostile ids are all different ones."""
    store = await harness.open()
    for name in HOSTILE:
        scene = await open_scene(store, name, name, user=name, process=name)
        scopes = (
            user_scope(name),
            org_scope(name),
            user_scope("u", isolated_flow=name),
            session_scope(scene.session),
        )
        await store.commit(tuple(put(key, {"of": name}, note(name)) for key in scopes))
    for name in HOSTILE:
        key = SessionKey(NO_TENANT, name)
        session = await store.get_session(key)
        assert session is not None
        assert (session.key.session_id, session.user_id) == (name, name)
        states: list[ScopeKey] = [
            user_scope(name),
            org_scope(name),
            user_scope("u", isolated_flow=name),
            session_scope(key),
        ]
        for record in (await store.load_states(states)).values():
            assert (record.state, record.version) == ({"of": name}, 1)
        [request] = await store.read_running(name, limit=10)
        assert (request.key.request_id, request.head.session) == (name, key)
        [listed] = (await store.list_sessions(SessionFilter(NO_TENANT, user_id=name), limit=10)).sessions
        assert listed.record.key == key


async def check_hostile_tenants_are_kept_apart(harness: StoreHarness) -> None:
    """Look-alike or hostile tenants see their own sessions, events and items only."""
    store = await harness.open()
    for name in HOSTILE:
        scene = await open_scene(store, tenant=name)
        await scene.append(note(name), item_done(name))
        await scene.finish()
    for name in HOSTILE:
        listed = (await store.list_sessions(SessionFilter(name), limit=10)).sessions
        assert [one.record.key for one in listed] == [SessionKey(name, "session-1")]
        [item] = await store.read_turns(SessionKey(name, "session-1"), "log-session-1", newest=5)
        assert item.item.item_id == name


async def check_hostile_names_wake_their_own_watch(harness: StoreHarness) -> None:
    """A watch of a hostile id wakes, and its log reads."""
    store = await harness.open()
    for name in HOSTILE:
        scene = await open_scene(store, name, name, tenant=name)
        with store.watch((Topic(TopicKind.REQUEST, name, name),)) as watch:
            await scene.append(note())
            await watch.wait()
        [event] = await events_of(store, scene.request)
        assert (event.request_id, event.session) == (name, scene.session)
        assert (await request_of(store, scene.request)).head.key == scene.request


async def check_hostile_idempotency_keys_are_kept_apart(harness: StoreHarness) -> None:
    """Look-alike or hostile idempotency keys are all different ones."""
    store = await harness.open()
    for part in HOSTILE:
        key = IdempotencyKey(part, part, part, part)
        put_key = PutIdempotencyKey(key, part, Micros(60_000_000))
        assert not (await store.commit((put(user_scope(part), {}), put_key))).replayed
        again = await store.commit((put(user_scope(part), {}), put_key))
        assert again.replayed
        assert again.results[0].id == part


async def check_ids_glued_together_do_not_collide(harness: StoreHarness) -> None:
    """No tenant and id make another pair's key when put together."""
    store = await harness.open()
    pairs = (("a", "b:c"), ("a:b", "c"), ("", "a:b:c"), ("a", "b/c"), ("a/b", "c"), ("ab", "c"), ("a", "bc"))
    for tenant, session_id in pairs:
        await store.commit((new_session(session_id, tenant=tenant, exclusive=True),))
        await store.commit(
            (put(session_scope(SessionKey(Tenant(tenant), session_id)), {"of": [tenant, session_id]}),)
        )
    for tenant, session_id in pairs:
        state = await state_of(store, session_scope(SessionKey(Tenant(tenant), session_id)))
        assert state.state == {"of": [tenant, session_id]}
