"""Damaged records: what can't be understood costs itself, and the rest is served."""

from __future__ import annotations

from flowstate_server.errors import InternalError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.tables import REQUESTS, SESSIONS
from flowstate_server.stores.contract.writes import AppendEvents, CommitResult
from flowstate_server.testing.store_contract.builders import PROCESS, events_of, note, open_scene
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

BROKEN = SessionKey(NO_TENANT, "session-1")
SESSIONS_OF_ALL = [SessionKey(NO_TENANT, f"session-{number}") for number in range(4)]


async def check_damaged_session_costs_itself(harness: StoreHarness) -> None:
    """Reads and batches that need a damaged session fail, one by one, and a list leaves it out."""
    store = await harness.open()
    for session in SESSIONS_OF_ALL:
        await open_scene(store, session.session_id, f"request of {session.session_id}")
    await harness.damage(store, SESSIONS, BROKEN)
    store = await harness.reopen(store)
    with refused(DamagedRecord):
        await store.get_session(BROKEN)
    with refused(DamagedRecord):
        await store.read_projection(BROKEN, ())
    listed = (await store.list_sessions(SessionFilter(NO_TENANT), limit=10)).sessions
    others = [session for session in SESSIONS_OF_ALL if session != BROKEN]
    assert {one.record.key for one in listed} == set(others)
    appends = [store.commit((AppendEvents(session, (note(),)),)) for session in SESSIONS_OF_ALL]
    answers = await settled(*appends)
    assert [type(answer) for answer in answers] == [
        InternalError if session == BROKEN else CommitResult for session in SESSIONS_OF_ALL
    ]
    for session in others:
        assert len(await events_of(store, session)) == 1


async def check_damaged_request_costs_itself(harness: StoreHarness) -> None:
    """A damaged request fails the read of it alone; what its process runs is found without it."""
    store = await harness.open()
    scenes = [await open_scene(store, request_id=f"request-{number}") for number in range(4)]
    broken = RequestKey(NO_TENANT, "request-1")
    await harness.damage(store, REQUESTS, broken)
    store = await harness.reopen(store)
    with refused(DamagedRecord):
        await store.get_request(broken)
    others = [scene.request for scene in scenes if scene.request != broken]
    running = await store.read_running(PROCESS, limit=10)
    assert {request.key for request in running} == set(others)
    for key in others:
        assert await store.get_request(key) is not None
    assert await store.get_session(BROKEN) is not None
