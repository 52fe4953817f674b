"""What is handed in or out is a copy: nothing done to it reaches what is stored."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure, RequestStatus, SessionRecord, StateRecord
from flowstate_server.model.scopes import SessionKey, user_scope
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    ChangeState,
    FinishRequest,
    NoChange,
    RequireSession,
    UpdateSession,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    new_session,
    open_scene,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.harness import StoreHarness

ADA = user_scope("ada")
SESSION = SessionKey(NO_TENANT, "session-1")


async def check_states_are_copies(harness: StoreHarness) -> None:
    """What a caller does to a state it wrote, was given or was shown in a change reaches no stored state."""
    store = await harness.open()
    inner: list[Json] = [1]
    seen: list[StateRecord] = []

    def look(record: StateRecord) -> NoChange:
        assert record.state == {"list": [1]}
        seen.append(record)
        return NO_CHANGE

    await store.commit((new_session(),))
    written = (await store.commit((put(ADA, {"list": inner}),))).results[0].state
    looked = (await store.commit((ChangeState(ADA, look),))).results[0].state
    loaded = await state_of(store, ADA)
    projection = await store.read_projection(SESSION, (ADA,))
    assert written is not None
    assert looked is not None
    assert projection is not None
    inner.append(2)
    for record in (written, looked, loaded, projection.states[ADA], *seen):
        record.state["list"] = "spoilt"
        record.state["new"] = "spoilt"
    assert (await state_of(store, ADA)).state == {"list": [1]}
    await store.commit((ChangeState(ADA, look),))


async def check_metadata_is_a_copy(harness: StoreHarness) -> None:
    """What a caller does to the metadata of a session it created, or read, does not reach the store."""
    store = await harness.open()
    inner: list[Json] = [1]
    create = replace(new_session(), metadata={"list": inner})
    created = (await store.commit((create,))).results[0].session
    await _spoil_and_look(store, inner, created)


async def check_changed_metadata_is_a_copy(harness: StoreHarness) -> None:
    """What a caller does to metadata that it updated, or read, does not reach the store."""
    store = await harness.open()
    inner: list[Json] = [1]
    await store.commit((new_session(),))
    update = UpdateSession(SESSION, {"metadata": {"list": inner}})
    updated = (await store.commit((update,))).results[0].session
    await _spoil_and_look(store, inner, updated)


async def _spoil_and_look(store: Store, inner: list[Json], written: SessionRecord | None) -> None:
    required = (await store.commit((RequireSession(SESSION, "log-session-1"),))).results[0].session
    got = await store.get_session(SESSION)
    projection = await store.read_projection(SESSION, ())
    [listed] = (await store.list_sessions(SessionFilter(NO_TENANT), limit=1)).sessions
    assert projection is not None
    assert written == required == got == projection.session == listed.record
    inner.append(2)
    for session in (written, required, got, projection.session, listed.record):
        assert session is not None
        session.metadata["list"] = "spoilt"
        session.metadata["new"] = "spoilt"
    again = await store.get_session(SESSION)
    assert again is not None
    assert again.metadata == {"list": [1]}


async def check_failures_are_copies(harness: StoreHarness) -> None:
    """What a caller does to the details of a failure does not reach the store."""
    store = await harness.open()
    scene = await open_scene(store)
    inner: list[Json] = [1]
    details: JsonObject = {"list": inner}
    status = RequestStatus.FAILED
    end = FinishRequest(scene.request, status, ENDS[status], {}, (), failure=Failure("R", "", details))
    await scene.commit(end)
    inner.append(2)
    failure = (await request_of(store, scene.request)).failure
    assert failure is not None
    failure.details["list"] = "spoilt"
    assert (await request_of(store, scene.request)).failure == Failure("R", "", {"list": [1]})
