"""What counts as activity in a session: by it sessions are found, and deleted once they are idle."""

from __future__ import annotations

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import DocumentKey, session_owner
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.journal import Note
from flowstate_server.model.resources import ResourceOwner
from flowstate_server.model.scopes import RequestKey, SessionKey, session_scope
from flowstate_server.stores.contract.deletion_writes import RemoveHistory
from flowstate_server.stores.contract.document_writes import AppendJournal, DeleteDocument, PutDocument
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.resource_writes import ChangeResource, DeleteResource, ResourceChanged
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    AppendEvents,
    ChangeState,
    RequireSession,
    UpdateSession,
    Write,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import increment, note, open_scene
from flowstate_server.testing.store_contract.harness import StoreHarness


async def check_whatever_is_written_in_a_session_is_activity(harness: StoreHarness) -> None:
    """A session's activity time moves with each change, told by a log or not, by whosever request, and only then."""
    store = await harness.open()
    scene, other = await open_scene(store), await open_scene(store, "session-2", "request-2")
    key, log_id = scene.session, "log-session-1"
    state, owner = session_scope(key), ResourceOwner(session_scope(key), log_id)

    def put(text: bytes, request: RequestKey | None = None) -> ChangeResource:
        change = ResourceChanged({}, text, None, "")
        return ChangeResource(owner, "a", lambda _: change, Micros(SECOND), request=request)

    document = DocumentKey(session_owner(key, log_id), "kind", ("a",))
    writes: list[Write] = [
        AppendJournal(key, log_id, (Note("note-1", "text"),)),
        increment(state),
        increment(state, request=other.request),
        UpdateSession(key, {"title": "a"}),
        UpdateSession(key, {"title": "b"}, other.request),
        put(b"{}"),
        put(b"{}", other.request),
        DeleteResource(owner, "a", 1, Micros(SECOND)),
        PutDocument(document, b"1"),
        DeleteDocument(document),
        AppendEvents(key, (note(),)),
        RequireSession(key, log_id, active=True),
    ]
    for write in writes:
        committed = await store.commit((write,))
        assert await _activity(store, key) == committed.time, write
    time = await _activity(store, key)
    unchanged: list[Write] = [
        RequireSession(key, log_id),
        AppendJournal(key, log_id, ()),
        UpdateSession(key, {"title": "b"}),
        ChangeState(state, lambda _: NO_CHANGE),
        AppendEvents(other.session, (note(),), other.request),
        RemoveHistory(key, log_id, 0, 1, (), ()),
    ]
    for write in unchanged:
        await store.commit((write,))
        assert await _activity(store, key) == time, write
    found = await store.list_sessions(SessionFilter(NO_TENANT, active_after=Micros(time - 1)), limit=5)
    assert [one.activity_time for one in found.sessions if one.record.key == key] == [time]


async def _activity(store: Store, key: SessionKey) -> Micros:
    projection = await store.read_projection(key, ())
    assert projection is not None
    return projection.head.activity_time
