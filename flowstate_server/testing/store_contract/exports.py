"""Exports: everything a store keeps, in pages by key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from flowstate_server.model.clock import SECOND
from flowstate_server.model.records import (
    IdempotencyKey,
)
from flowstate_server.model.scopes import (
    ScopeKey,
    ScopeKind,
    user_scope,
)
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    PutIdempotencyKey,
)
from flowstate_server.testing.store_contract.builders import (
    increment,
    item_done,
    note,
    open_scene,
    state_of,
)
from flowstate_server.testing.store_contract.harness import StoreHarness
from flowstate_server.testing.store_contract.population import GONE, NAMES, exporting, populated, scopes_of

Row = TypeVar("Row")
Key = TypeVar("Key")

KINDS = tuple(ScopeKind)
MANY = 1 << 20


async def _pages(
    read: Callable[[Key | None, int], Awaitable[Sequence[Row]]], key_of: Callable[[Row], Key], limit: int
) -> list[Row]:
    """All rows, read in pages of ``limit``."""
    rows: list[Row] = []
    after: Key | None = None
    while page := await read(after, limit):
        assert len(page) <= limit
        rows += page
        after = key_of(page[-1])
    return rows


def _state_place(key: ScopeKey) -> tuple[int, str, str, str]:
    return KINDS.index(key.kind), key.tenant, key.id, key.flow_kind


def _key_place(key: IdempotencyKey) -> tuple[str, str, str, str]:
    return key.tenant, key.principal, key.method, key.key


async def _check_pages(
    read: Callable[[Any, int], Awaitable[Sequence[Any]]],
    key_of: Callable[[Any], Any],
    place: Callable[[Any], Any],
    wanted: set[Any],
) -> list[Any]:
    """Pages of every size are the same rows, in order, each once; and they can be gone on with anywhere."""
    rows = await _pages(read, key_of, 1000)
    keys = [key_of(row) for row in rows]
    assert keys == sorted(keys, key=place)
    assert len(keys) == len(set(keys))
    assert set(keys) == wanted
    for limit in (1, 3, len(rows)):
        assert await _pages(read, key_of, limit) == rows, limit
    for position in range(0, len(rows), 3):
        assert list(await read(keys[position], 1000)) == rows[position + 1 :]
    return rows


async def _check_bytes(
    read: Callable[[Any, int], Awaitable[Sequence[Any]]], key_of: Callable[[Any], Any], rows: list[Any]
) -> None:
    """Pages of every number of bytes are the same rows, none larger than asked for but where one row is."""
    for max_bytes in (1, 50, 500):
        after: Any = None
        found: list[Any] = []
        while page := await read(after, max_bytes):
            assert len(page) == 1 or sum(row.size for row in page) <= max_bytes
            found += page
            after = key_of(page[-1])
        assert found == rows, max_bytes


async def check_exported_sessions_are_all_there_are(harness: StoreHarness) -> None:
    """Sessions of all tenants are exported with their heads, by key, in pages that can be gone on with anywhere."""
    store = await harness.open()
    export = exporting(store)
    scenes = await populated(store)
    rows = await _check_pages(
        lambda after, limit: export.export_sessions(after=after, limit=limit),
        lambda row: row.record.key,
        tuple,
        {scene.session for scene in scenes},
    )
    for row in rows:
        projection = await store.read_projection(row.record.key, ())
        assert projection is not None
        assert (row.record, row.head) == (projection.session, projection.head)


async def check_exported_requests_are_all_there_are(harness: StoreHarness) -> None:
    """Whole requests of all tenants are exported, running and ended, by key, in pages."""
    store = await harness.open()
    export = exporting(store)
    scenes = await populated(store)
    rows = await _check_pages(
        lambda after, limit: export.export_requests(after=after, limit=limit, max_bytes=MANY),
        lambda row: row.key,
        tuple,
        {scene.request for scene in scenes},
    )
    for row in rows:
        assert row == await store.get_request(row.key)
    await _check_bytes(
        lambda after, max_bytes: export.export_requests(after=after, limit=1000, max_bytes=max_bytes),
        lambda row: row.key,
        rows,
    )


async def check_exported_states_are_all_there_are(harness: StoreHarness) -> None:
    """States of all scopes are exported, tombstones with their versions too, by key, in pages."""
    store = await harness.open()
    export = exporting(store)
    scenes = await populated(store)
    wanted = {key for name, scene in zip(NAMES, scenes[::2], strict=True) for key in scopes_of(scene, name)}
    await store.load_states((user_scope("never"),))
    rows = await _check_pages(
        lambda after, limit: export.export_states(after=after, limit=limit, max_bytes=MANY),
        lambda row: row.key,
        _state_place,
        {*wanted, GONE},
    )
    for row in rows:
        assert row == await state_of(store, row.key)
    await _check_bytes(
        lambda after, max_bytes: export.export_states(after=after, limit=1000, max_bytes=max_bytes),
        lambda row: row.key,
        rows,
    )
    [gone] = [row for row in rows if row.key == GONE]
    assert (gone.version, gone.exists, gone.state) == (2, False, {})


async def check_exported_idempotency_keys_are_all_there_are(harness: StoreHarness) -> None:
    """Idempotency keys of all tenants are exported with what they remember, expired ones too, by key, in pages."""
    store = await harness.open()
    export = exporting(store)
    keys = {IdempotencyKey(tenant, name, "m", name) for name in NAMES for tenant in ("", name)}
    for key in keys:
        await store.commit((increment(user_scope("ada")), PutIdempotencyKey(key, "print", 60 * SECOND)))
    brief = IdempotencyKey("", "brief", "m", "k")
    await store.commit((PutIdempotencyKey(brief, "print", 0),))
    rows = await _check_pages(
        lambda after, limit: export.export_idempotency_keys(after=after, limit=limit, max_bytes=MANY),
        lambda row: row.key,
        _key_place,
        {*keys, brief},
    )
    assert all(row.fingerprint == "print" and row.reply and row.expire_time for row in rows)
    await _check_bytes(
        lambda after, max_bytes: export.export_idempotency_keys(after=after, limit=1000, max_bytes=max_bytes),
        lambda row: row.key,
        rows,
    )
    await store.sweep_idempotency_keys(limit=10)
    left = await export.export_idempotency_keys(after=None, limit=1000, max_bytes=MANY)
    assert {row.key for row in left} == keys


async def check_exported_events_are_the_whole_log(harness: StoreHarness) -> None:
    """A session's events, those of its requests and those outside them, are exported in order, whatever the pages."""
    store = await harness.open()
    export = exporting(store)
    scene = await open_scene(store)
    other = await open_scene(store, request_id="other")
    for number in range(6):
        await scene.append(note("x" * 100), item_done(f"item {number}", content=b'"%s"' % (b"y" * 200)))
        await other.append(note(str(number)))
        await store.commit((AppendEvents(scene.session, (note("of the session", transient=True),)),))
    log = (scene.session, "log-session-1")

    async def pages(limit: int, max_bytes: int) -> list[Any]:
        rows: list[Any] = []
        after = 0
        while page := await export.export_events(*log, after=after, limit=limit, max_bytes=max_bytes):
            assert len(page) <= limit
            rows += page
            after = rows[-1].session_sequence
        return rows

    whole = await pages(1000, MANY)
    assert [row.session_sequence for row in whole] == list(range(1, 25))
    assert {row.request_id for row in whole} == {"", "request-1", "other"}
    assert [row.sequence for row in whole if row.request_id == "other"] == list(range(1, 7))
    assert sum(row.event.item is not None for row in whole) == 6
    for limit, max_bytes in ((1, MANY), (5, MANY), (1000, 1), (1000, 500)):
        assert await pages(limit, max_bytes) == whole, (limit, max_bytes)
    assert not await export.export_events(scene.session, "another", after=0, limit=10, max_bytes=1000)
