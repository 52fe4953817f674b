"""A store with something of everything in it, for exports and copies."""

from __future__ import annotations

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import DocumentKey, session_owner
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import (
    Failure,
    IdempotencyKey,
    RequestStatus,
)
from flowstate_server.model.scopes import (
    ScopeKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    DeleteState,
    FinishRequest,
    PutIdempotencyKey,
    RequestCancel,
    UpdateSession,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.blobs import upload
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    Scene,
    increment,
    item_done,
    note,
    open_scene,
    put,
)
from flowstate_server.testing.store_contract.harness import NotProvided

NAMES = ("b", "a", "B", "a b", "é", "~", "\uffee", "\U0001d11e")
"""By code point these are in another order than by UTF-16, by locale or without case."""

GONE = user_scope("gone")
"""A record that was written twice and deleted."""


def exports_of(store: Store) -> Exports:
    """What the store exports; a check of one that does not export does not apply."""
    if store.exports is None:
        raise NotProvided("the store does not export")
    return store.exports


async def populated(store: Store) -> list[Scene]:
    """Running and ended requests, tombstones, metadata, items, documents, keys and a blob, over several tenants."""
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
        await store.commit(tuple(put(key, {"of": name}) for key in scopes_of(scene, name)))
        key = IdempotencyKey(scene.session.tenant, name, "method", name)
        await store.commit(
            (increment(user_scope(name)), PutIdempotencyKey(key, "print", Micros(60 * SECOND)))
        )
        note_of_session = DocumentKey(session_owner(scene.session, log_id_of(scene)), "note", (name, "x"))
        await store.commit((PutDocument(note_of_session, encode_json({"of": name})),))
        await _end(ended, failed=bool(number % 3))
    await store.commit((RequestCancel(scenes[0].request, "why"),))
    await store.commit((put(GONE, {"a": 1}), put(GONE, {"a": 2}), DeleteState(GONE)))
    if store.pieces is not None:
        await upload(store, Blobs(store, store.pieces))
    return scenes


def log_id_of(scene: Scene) -> str:
    return f"log-{scene.session.session_id}"


def scopes_of(scene: Scene, name: str) -> tuple[ScopeKey, ...]:
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
