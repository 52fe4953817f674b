"""Exports and copies: everything a store keeps, page by page, and into another store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flowstate_server.model.clock import SECOND
from flowstate_server.model.records import Failure, IdempotencyKey, RequestStatus
from flowstate_server.model.scopes import (
    ScopeKey,
    ScopeKind,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.contract.exporting import Exporting
from flowstate_server.stores.contract.store import Store
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    DeleteState,
    FinishRequest,
    PutIdempotencyKey,
    RequestCancel,
    UpdateSession,
)
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.transfer import check_store, copy_store, differences
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    Scene,
    increment,
    item_done,
    new_request,
    note,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.harness import NotProvided, StoreHarness

Row = TypeVar("Row")
Key = TypeVar("Key")

NAMES = ("b", "a", "B", "a b", "é", "~", "\uffee", "\U0001d11e")
"""By code point these are in another order than by UTF-16, by locale or without case."""

KINDS = tuple(ScopeKind)
GONE, NEVER = user_scope("gone"), user_scope("never")


def _exporting(store: Store) -> Exporting:
    if not isinstance(store, Exporting):
        raise NotProvided("the store does not export")
    return store


async def _populated(store: Store) -> list[Scene]:
    """Running and ended requests, tombstones, metadata, items and keys, over several tenants."""
    scenes = []
    for number, name in enumerate(NAMES):
        scene = await open_scene(store, name, f"running {name}", tenant="" if number % 2 else name)
        ended = await open_scene(store, name, f"ended {name}", tenant=scene.session.tenant)
        scenes += [scene, ended]
        await scene.append(note(name), item_done(f"item {name}"), note(transient=True))
        await ended.append(note(name), item_done(f"item {name}"), note(transient=True))
        await store.commit((AppendEvents(scene.session, (note("of the session"),)),))
        await store.commit(
            (UpdateSession(scene.session, {"title": name, "metadata": {name: [1, 1.0, None]}}),)
        )
        await store.commit(tuple(put(key, {"of": name}) for key in _scopes(scene, name)))
        key = IdempotencyKey(scene.session.tenant, name, "method", name)
        await store.commit((increment(user_scope(name)), PutIdempotencyKey(key, "print", 60 * SECOND)))
        await _end(ended, failed=bool(number % 3))
    await store.commit((RequestCancel(scenes[0].request, "why"),))
    await store.commit((put(GONE, {"a": 1}), put(GONE, {"a": 2}), DeleteState(GONE)))
    return scenes


def _scopes(scene: Scene, name: str) -> tuple[ScopeKey, ...]:
    return (
        user_scope(name),
        user_scope("u", isolated_flow=name),
        org_scope(name),
        session_scope(scene.session),
        request_scope(scene.request),
    )


async def _end(scene: Scene, *, failed: bool) -> None:
    if not failed:
        await scene.finish()
        return
    status = RequestStatus.FAILED
    failure = Failure("WHY", "words", {"a": [1, None]}, "error-1", retryable=True)
    await scene.commit(FinishRequest(scene.request, status, ENDS[status], {}, scene.scopes, failure=failure))


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


async def check_exported_sessions_are_all_there_are(harness: StoreHarness) -> None:
    """Sessions of all tenants are exported with their heads, by key, in pages that can be gone on with anywhere."""
    store = await harness.open()
    export = _exporting(store)
    scenes = await _populated(store)
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
    export = _exporting(store)
    scenes = await _populated(store)
    rows = await _check_pages(
        lambda after, limit: export.export_requests(after=after, limit=limit),
        lambda row: row.key,
        tuple,
        {scene.request for scene in scenes},
    )
    for row in rows:
        assert row == await store.get_request(row.key)


async def check_exported_states_are_all_there_are(harness: StoreHarness) -> None:
    """States of all scopes are exported, tombstones with their versions too, by key, in pages."""
    store = await harness.open()
    export = _exporting(store)
    scenes = await _populated(store)
    wanted = {key for name, scene in zip(NAMES, scenes[::2], strict=True) for key in _scopes(scene, name)}
    await store.load_states((NEVER,))
    rows = await _check_pages(
        lambda after, limit: export.export_states(after=after, limit=limit),
        lambda row: row.key,
        _state_place,
        {*wanted, GONE},
    )
    for row in rows:
        assert row == await state_of(store, row.key)
    [gone] = [row for row in rows if row.key == GONE]
    assert (gone.version, gone.exists, gone.state) == (2, False, {})


async def check_exported_idempotency_keys_are_all_there_are(harness: StoreHarness) -> None:
    """Idempotency keys of all tenants are exported with what they remember, expired ones too, by key, in pages."""
    store = await harness.open()
    export = _exporting(store)
    keys = {IdempotencyKey(tenant, name, "m", name) for name in NAMES for tenant in ("", name)}
    for key in keys:
        await store.commit((increment(user_scope("ada")), PutIdempotencyKey(key, "print", 60 * SECOND)))
    brief = IdempotencyKey("", "brief", "m", "k")
    await store.commit((PutIdempotencyKey(brief, "print", 0),))
    rows = await _check_pages(
        lambda after, limit: export.export_idempotency_keys(after=after, limit=limit),
        lambda row: row.key,
        _key_place,
        {*keys, brief},
    )
    assert all(row.fingerprint == "print" and row.reply and row.expire_time for row in rows)
    await store.sweep_idempotency_keys(limit=10)
    left = await export.export_idempotency_keys(after=None, limit=1000)
    assert {row.key for row in left} == keys


async def check_exported_events_are_the_whole_log(harness: StoreHarness) -> None:
    """A session's events, those of its requests and those outside them, are exported in order, whatever the pages."""
    store = await harness.open()
    export = _exporting(store)
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

    whole = await pages(1000, 1 << 20)
    assert [row.session_sequence for row in whole] == list(range(1, 25))
    assert {row.request_id for row in whole} == {"", "request-1", "other"}
    assert [row.sequence for row in whole if row.request_id == "other"] == list(range(1, 7))
    assert sum(row.event.item is not None for row in whole) == 6
    for limit, max_bytes in ((1, 1 << 20), (5, 1 << 20), (1000, 1), (1000, 500)):
        assert await pages(limit, max_bytes) == whole, (limit, max_bytes)
    assert not await export.export_events(scene.session, "another", after=0, limit=10, max_bytes=1000)


async def check_copy_into_a_fresh_store_exports_equal(harness: StoreHarness) -> None:
    """What is copied from this store into an empty one exports the same there, and back again."""
    store = await harness.open()
    _exporting(store)
    await _populated(store)
    await _assert_copied(store, MemoryStore())


async def check_copy_from_another_store_exports_equal(harness: StoreHarness) -> None:
    """What is copied into this store from another one exports the same here."""
    store = await harness.open()
    _exporting(store)
    source = MemoryStore()
    await source.open()
    await _populated(source)
    await _copy(source, store)
    await _assert_equal(source, store)
    await source.close()


async def check_copied_store_goes_on(harness: StoreHarness) -> None:
    """A store that was copied into serves on: logs, versions, turns and keys continue where they were."""
    store = await harness.open()
    _exporting(store)
    source = MemoryStore()
    await source.open()
    running, ended = (await _populated(source))[:2]
    await _copy(source, store)
    await source.close()
    scene = replace(running, store=store)
    before = await store.get_request(running.request)
    assert before is not None
    appended = await scene.append(note("after"))
    head = appended.results[1].head
    assert head is not None
    assert head.sequence == before.head.sequence + 1
    await scene.finish()
    turns = await store.read_turns(running.session, f"log-{running.session.session_id}", newest=2)
    assert [record.request_id for record in turns] == [running.request.request_id, ended.request.request_id]
    assert (await store.commit((increment(GONE),))).results[0].version == 3
    again = await store.commit((new_request(ended.session, ended.request.request_id),))
    assert again.attached is not None
    name = running.session.session_id
    key = IdempotencyKey(running.session.tenant, name, "method", name)
    repeat = PutIdempotencyKey(key, "print", 60 * SECOND)
    assert (await store.commit((increment(user_scope(name)), repeat))).replayed
    assert [problem async for problem in check_store(store)] == []


async def _copy(source: Store, target: Store) -> None:
    copied = await copy_store(_exporting(source), target, name="source")
    assert copied.done


async def _assert_copied(source: Store, target: Store) -> None:
    await target.open()
    await _copy(source, target)
    await _assert_equal(source, target)
    await target.close()


async def _assert_equal(one: Store, other: Store) -> None:
    assert [line async for line in differences(_exporting(one), _exporting(other))] == []
    assert [problem async for problem in check_store(other)] == []
