"""Tenants never meet; users and orgs are shared between them on purpose."""

from __future__ import annotations

from flowstate_server.errors import RequestNotFoundError, SessionNotFoundError
from flowstate_server.model.identity import Tenant
from flowstate_server.model.scopes import (
    RequestKey,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import AppendEvents, RequestCancel
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    events_of,
    head_of,
    increment,
    item_done,
    note,
    open_scene,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness

TENANTS = ("", "one", "One", "one ", "ones")


async def check_equal_ids_of_two_tenants_are_two_things(harness: StoreHarness) -> None:
    """Sessions, requests, states, events and items of equal ids in two tenants are different ones."""
    store = await harness.open()
    scenes = [await open_scene(store, tenant=tenant) for tenant in TENANTS]
    for number, scene in enumerate(scenes):
        tenant = scene.session.tenant
        await scene.commit(
            put(session_scope(scene.session), {"tenant": tenant}),
            put(request_scope(scene.request), {"tenant": tenant}),
            AppendEvents(scene.session, (note(tenant),) * (number + 1), scene.request),
            AppendEvents(scene.session, (item_done(f"item-{tenant}"),), scene.request),
        )
    for number, scene in enumerate(scenes):
        tenant = scene.session.tenant
        for key in (session_scope(scene.session), request_scope(scene.request)):
            assert (await state_of(store, key)).state == {"tenant": tenant}
        events = await events_of(store, scene.request)
        assert [event.sequence for event in events] == list(range(1, number + 3))
        assert {event.session for event in events} == {scene.session}
        session = await store.get_session(scene.session)
        assert session is not None
        assert session.key == scene.session
        assert (await request_of(store, scene.request)).head.session == scene.session
        projection = await store.read_projection(scene.session, ())
        assert projection is not None
        assert [head.key for head in projection.active] == [scene.request]
        assert projection.head.sequence == number + 2
        listed = (await store.list_sessions(SessionFilter(tenant), limit=10)).sessions
        assert [one.record.key for one in listed] == [scene.session]


async def check_ends_and_cancels_stay_in_their_tenant(harness: StoreHarness) -> None:
    """The end or cancel of a request touches no request of that id in another tenant."""
    store = await harness.open()
    one = await open_scene(store, tenant="one")
    other = await open_scene(store, tenant="other")
    for scene in (one, other):
        await scene.append(item_done(f"item-{scene.session.tenant}"))
    await store.commit((RequestCancel(one.request, "why"),))
    assert [head.key for head in await store.read_cancelled(PROCESS)] == [one.request]
    await one.finish()
    assert not (await head_of(store, other.request)).status.ended
    assert [request.key for request in await store.read_running(PROCESS, limit=10)] == [other.request]
    [item] = await store.read_turns(one.session, "log-session-1", newest=10)
    assert item.item.item_id == "item-one"
    assert list(await store.read_turns(other.session, "log-session-1", newest=10)) == []


async def check_another_tenants_ids_are_unknown(harness: StoreHarness) -> None:
    """What another tenant has reads, and refuses, as if it had never been."""
    store = await harness.open()
    await open_scene(store, tenant="one")
    session, request = SessionKey(Tenant("two"), "session-1"), RequestKey(Tenant("two"), "request-1")
    assert await store.get_session(session) is None
    assert await store.get_request(request) is None
    assert await store.read_projection(session, ()) is None
    assert await store.read_events(request, after=0, limit=10, max_bytes=1000) is None
    with refused(SessionNotFoundError, session_id="session-1"):
        await store.commit((AppendEvents(session, (note(),)),))
    with refused(RequestNotFoundError, request_id="request-1"):
        await store.commit((RequestCancel(request, ""),))


async def check_users_and_orgs_are_shared_between_tenants(harness: StoreHarness) -> None:
    """A user's or org's record is the same one in all tenants."""
    store = await harness.open()
    scenes = [await open_scene(store, tenant=tenant) for tenant in ("one", "two")]
    for scene in scenes:
        await scene.commit(increment(user_scope("ada")), increment(org_scope("acme")))
    for key in (user_scope("ada"), org_scope("acme")):
        assert (await state_of(store, key)).state == {"n": 2}


async def check_isolated_records_are_their_flows(harness: StoreHarness) -> None:
    """An isolated record is apart from the shared one and from those of other flows."""
    store = await harness.open()
    keys = (
        user_scope("ada"),
        user_scope("ada", isolated_flow="chat"),
        user_scope("ada", isolated_flow="Chat"),
        user_scope("adachat"),
        user_scope("ada:chat"),
        user_scope("chat", isolated_flow="ada"),
        org_scope("ada"),
        org_scope("ada", isolated_flow="chat"),
    )
    for number, key in enumerate(keys):
        await store.commit((put(key, {"number": number}),))
    states = await store.load_states(keys)
    assert [states[key].state for key in keys] == [{"number": number} for number in range(len(keys))]
    assert {states[key].version for key in keys} == {1}


async def check_watches_of_one_tenant(harness: StoreHarness) -> None:
    """A watch of a tenant's request wakes for it."""
    store = await harness.open()
    scene = await open_scene(store, tenant="one")
    with store.watch((Topic(TopicKind.REQUEST, Tenant("one"), "request-1"),)) as watch:
        await scene.append(note())
        await watch.wait()
