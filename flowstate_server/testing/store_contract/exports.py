"""Exports: everything a store keeps, in pages by key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    PROCESSES,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)
from flowstate_server.stores.contract.writes import AppendEvents, PutIdempotencyKey
from flowstate_server.testing.store_contract.builders import (
    events_of,
    increment,
    item_done,
    note,
    open_scene,
    state_of,
)
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.population import (
    GONE,
    NAMES,
    exports_of,
    log_id_of,
    populated,
    scopes_of,
)

MANY = 1 << 20


async def _read(
    exports: Exports, table: Table[Any, Any], limit: int = 1000, max_bytes: int = MANY
) -> list[Any]:
    """All records, read in pages."""
    rows: list[Any] = []
    after: Any = None
    while page := await exports.export(table, after=after, limit=limit, max_bytes=max_bytes):
        assert len(page) <= limit
        assert len(page) == 1 or sum(getattr(row, "size", 0) for row in page) <= max_bytes
        rows += page
        after = table.key_of(page[-1])
    return rows


async def _check_pages(exports: Exports, table: Table[Any, Any]) -> list[Any]:
    """Pages of every size are the same records, in order, each once; and they can be gone on with anywhere."""
    rows = await _read(exports, table)
    keys = [table.key_of(row) for row in rows]
    assert keys == sorted(keys, key=table.place)
    assert len(keys) == len(set(keys))
    for limit in (1, 3, len(rows)):
        assert await _read(exports, table, limit) == rows, limit
    for max_bytes in (1, 50, 500):
        assert await _read(exports, table, max_bytes=max_bytes) == rows, max_bytes
    for position in range(0, len(rows), 3):
        rest = await exports.export(table, after=keys[position], limit=1000, max_bytes=MANY)
        assert list(rest) == rows[position + 1 :]
    return rows


def _keys(table: Table[Any, Any], rows: Sequence[Any]) -> set[Any]:
    return {table.key_of(row) for row in rows}


async def check_exported_sessions_are_all_there_are(harness: StoreHarness) -> None:
    """Sessions of all tenants are exported, and their heads, by key, in pages that can be gone on with anywhere."""
    store = await harness.open()
    exports = exports_of(store)
    scenes = await populated(store)
    sessions = await _check_pages(exports, SESSIONS)
    heads = await _check_pages(exports, SESSION_HEADS)
    assert _keys(SESSIONS, sessions) == {scene.session for scene in scenes}
    for session, head in zip(sessions, heads, strict=True):
        projection = await store.read_projection(session.key, ())
        assert projection is not None
        assert (session, head) == (projection.session, projection.head)


async def check_exported_requests_are_all_there_are(harness: StoreHarness) -> None:
    """Whole requests of all tenants are exported, running and ended, by key, in pages."""
    store = await harness.open()
    exports = exports_of(store)
    scenes = await populated(store)
    rows = await _check_pages(exports, REQUESTS)
    assert _keys(REQUESTS, rows) == {scene.request for scene in scenes}
    for row in rows:
        assert row == await store.get_request(row.key)


async def check_exported_states_are_all_there_are(harness: StoreHarness) -> None:
    """States of all scopes are exported, tombstones with their versions too, by key, in pages."""
    store = await harness.open()
    exports = exports_of(store)
    scenes = await populated(store)
    wanted = {key for name, scene in zip(NAMES, scenes[::2], strict=True) for key in scopes_of(scene, name)}
    await store.load_states((user_scope("never"),))
    rows = await _check_pages(exports, STATES)
    assert _keys(STATES, rows) == {*wanted, GONE}
    for row in rows:
        assert row == await state_of(store, row.key)
    [gone] = [row for row in rows if row.key == GONE]
    assert (gone.version, gone.exists, gone.state) == (2, False, {})


async def check_exported_turns_are_all_there_are(harness: StoreHarness) -> None:
    """Turns of all sessions are exported, by session and number, in pages."""
    store = await harness.open()
    exports = exports_of(store)
    scenes = await populated(store)
    rows = await _check_pages(exports, TURNS)
    completed = [request for request in await _read(exports, REQUESTS) if request.output is not None]
    assert {(row.key.session, row.request_id) for row in rows} == {
        (request.head.session, request.key.request_id) for request in completed
    }
    assert {(row.key.log_id, row.key.number, row.first, row.last) for row in rows} <= {
        (log_id_of(scene), 1, 0, 0) for scene in scenes
    }


async def check_exported_documents_are_all_there_are(harness: StoreHarness) -> None:
    """Documents of all owners are exported, idempotency keys, tombstones and expired ones too, by key, in pages."""
    store = await harness.open()
    exports = exports_of(store)
    keys = {IdempotencyKey(Tenant(tenant), name, "m", name) for name in NAMES for tenant in ("", name)}
    for key in keys:
        await store.commit(
            (increment(user_scope("ada")), PutIdempotencyKey(key, "print", Micros(60 * SECOND)))
        )
    names = [DocumentKey(STORE_OWNER, "kind", name) for name in (("a",), ("a", "b"), ("a\0",), ("ab",))]
    await store.commit(
        (PutDocument(names[0], b"1"), *(PutDocument(key, b"1", lifetime=Micros(1)) for key in names[1:]))
    )
    await store.commit((DeleteDocument(names[0], remembered=Micros(60 * SECOND)),))
    rows = await _check_pages(exports, DOCUMENTS)
    assert _keys(DOCUMENTS, rows) == {key.document for key in keys} | {*names}
    tombstone: Document
    [tombstone] = [row for row in rows if not row.present]
    assert (tombstone.key, tombstone.version, tombstone.text) == (names[0], 1, b"")


async def check_exported_processes_are_all_there_are(harness: StoreHarness) -> None:
    """Server processes are exported by id, in pages."""
    store = await harness.open()
    exports = exports_of(store)
    for name in NAMES:
        await open_scene(store, request_id=name, process=name)
    rows = await _check_pages(exports, PROCESSES)
    assert {row.process: row for row in rows} == {row.process: row for row in await store.read_processes()}


async def check_exported_events_are_the_whole_logs(harness: StoreHarness) -> None:
    """Events of all sessions, of requests and outside them, are exported in order, whatever the pages."""
    store = await harness.open()
    exports = exports_of(store)
    for name in NAMES[:3]:
        scene = await open_scene(store, name, f"of {name}", tenant=name)
        other = await open_scene(store, name, f"other of {name}", tenant=name)
        for number in range(4):
            await scene.append(note("x" * 100), item_done(f"item {number}", content=b'"%s"' % (b"y" * 200)))
            await other.append(note(str(number)))
            await store.commit((AppendEvents(scene.session, (note("outside", transient=True),)),))
    await open_scene(store, "empty", "of none")
    rows = await _check_pages(exports, EVENTS)
    logs = {
        session.key: await events_of(store, session.key, limit=3)
        for session in await _read(exports, SESSIONS)
    }
    assert rows == [event for session in sorted(logs) for event in logs[session]]
    assert len(rows) == 3 * 16
    assert sum(row.event.item is not None for row in rows) == 3 * 4
