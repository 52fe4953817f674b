"""Sessions deleted and made anew: nothing of the old one shows in the new."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowstate_server.errors import SessionAlreadyExistsError, SessionNotFoundError
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import SessionRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.tables import EVENTS, REQUESTS, SESSION_HEADS, SESSIONS, TURNS, Table
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    Scene,
    events_of,
    item_done,
    new_request,
    new_session,
    note,
    open_scene,
    take_over,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.population import exports_of
from flowstate_server.testing.store_contract.ranges import StartUnlessBusy, kinds, open_under_the_lock

KEY = SessionKey(NO_TENANT, "session-1")
NEW = "another-log"


async def _deleted(store: Store) -> SessionRecord:
    """The tombstone of a session that has a turn, an open request and events outside requests."""
    ended = await open_scene(store, request_id="old-ended")
    await ended.append(note("old"), item_done("old"))
    await ended.finish()
    running = await open_scene(store, request_id="old-running")
    await running.append(note("old"))
    await store.commit((AppendEvents(KEY, (note("old"),)),))
    session = await store.get_session(KEY)
    assert session is not None
    tombstone = replace(session, delete_time=await store.time())
    await take_over(store, SESSIONS, (tombstone,))
    return tombstone


async def _made_anew(store: Store) -> Scene:
    """The new session, with a turn and an open request of its own."""
    await _deleted(store)
    await store.commit((replace(new_session(), log_id=NEW, exclusive=True),))
    ended = await open_scene(store, request_id="new-ended")
    await ended.append(note("new"), item_done("new"))
    await ended.finish()
    return await open_scene(store, request_id="new-running")


async def check_deleted_session_is_a_tombstone(harness: StoreHarness) -> None:
    """A deleted session is read as its tombstone, has no projection, is not listed, and its log has ended."""
    store = await harness.open()
    tombstone = await _deleted(store)
    assert await store.get_session(KEY) == tombstone
    assert await store.read_projection(KEY, ()) is None
    assert not (await store.list_sessions(SessionFilter(NO_TENANT), limit=10)).sessions
    page = await store.read_events(KEY, after=0, limit=1, max_bytes=1 << 20)
    assert page is not None
    assert (page.head.log_id, page.head.ended) == ("log-session-1", True)
    for write in (new_session(), new_request(KEY), AppendEvents(KEY, (note(),))):
        with refused(SessionNotFoundError):
            await store.commit((write,))


async def check_session_made_anew_has_an_empty_log(harness: StoreHarness) -> None:
    """The log, the turns and the head of a session that was made anew begin with it."""
    store = await harness.open()
    await _deleted(store)
    create = replace(new_session(), log_id=NEW, exclusive=True)
    await store.commit((create,))
    assert await events_of(store, KEY) == []
    assert list(await store.read_turns(KEY, NEW, newest=10)) == []
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    assert (projection.session.log_id, projection.session.deleted) == (NEW, False)
    assert (projection.head.log_id, projection.head.sequence, projection.head.turns) == (NEW, 0, 0)
    assert projection.active == ()
    listed = await store.list_sessions(SessionFilter(NO_TENANT), limit=10)
    assert [one.record.log_id for one in listed.sessions] == [NEW]
    with refused(SessionAlreadyExistsError):
        await store.commit((create,))


async def check_session_made_anew_shows_its_own_alone(harness: StoreHarness) -> None:
    """Reads of a session that was made anew show its own events, turns and open requests, and none of the old one's."""
    store = await harness.open()
    scene = await _made_anew(store)
    events = await events_of(store, KEY)
    assert [event.session_sequence for event in events] == [1, 2, 3]
    assert {(event.session_log_id, event.request_id) for event in events} == {(NEW, "new-ended")}
    items = await store.read_turns(KEY, NEW, newest=10)
    assert [(one.item.item_id, one.turn, one.session_log_id) for one in items] == [("new", 1, NEW)]
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    assert [head.key for head in projection.active] == [scene.request]
    with kinds():
        assert await open_under_the_lock(store, StartUnlessBusy(KEY)) == ["new-running"]


async def check_reopened_session_made_anew_shows_its_own_alone(harness: StoreHarness) -> None:
    """The same after the data was opened again."""
    store = await harness.open()
    scene = await _made_anew(store)
    store = await harness.reopen(store)
    assert [event.request_id for event in await events_of(store, KEY)] == ["new-ended"] * 3
    assert [one.item.item_id for one in await store.read_turns(KEY, NEW, newest=10)] == ["new"]
    projection = await store.read_projection(KEY, ())
    assert projection is not None
    assert (projection.session.log_id, projection.head.log_id) == (NEW, NEW)
    assert [head.key for head in projection.active] == [scene.request]


async def check_session_made_anew_is_exported_alone(harness: StoreHarness) -> None:
    """Of a session that was made anew only its own records are exported, whatever the pages."""
    store = await harness.open()
    exports = exports_of(store)
    await _made_anew(store)

    async def exported(table: Table[Any, Any], limit: int) -> list[Any]:
        found: list[Any] = []
        after: Any = None
        while page := await exports.export(table, after=after, limit=limit, max_bytes=1 << 20):
            found += page
            after = table.key_of(page[-1])
        return found

    for limit in (1, 100):
        for table in (SESSIONS, SESSION_HEADS):
            assert [record.log_id for record in await exported(table, limit)] == [NEW]
        requests = await exported(REQUESTS, limit)
        assert [one.key.request_id for one in requests] == ["new-ended", "new-running"]
        events = await exported(EVENTS, limit)
        assert [(one.session_log_id, one.session_sequence) for one in events] == [
            (NEW, number) for number in (1, 2, 3)
        ]
        assert [(one.key.log_id, one.key.number) for one in await exported(TURNS, limit)] == [(NEW, 1)]
