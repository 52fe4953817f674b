"""A store with something of everything in it."""

from __future__ import annotations

import asyncio
import random

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.documents import DocumentKey, session_owner
from flowstate_server.model.events import Event
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.records import Failure, IdempotencyKey, RequestStatus
from flowstate_server.model.scopes import (
    RequestKey,
    SessionKey,
    org_scope,
    request_scope,
    session_scope,
    user_scope,
)
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.blob_writes import RequireBlob
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.contract.item_writes import AppendItems
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    CreateSession,
    DeleteState,
    FinishRequest,
    PutIdempotencyKey,
    RenewLease,
    RequireRun,
    Write,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import ENDS, item_done, new_request, note, put
from flowstate_server.testing.store_contract.item_appends import whole_items
from flowstate_server.testing.store_contract.item_removals import removal

PROCESS = "proc_filler"
WINDOW = 3600 * SECOND
AT_ONCE = 32
NAMES = ("ada", "Ada", "ädä/../x", "a%b", "user with spaces", "名前", "a" * 128, "x:y|z@")
VALUES: tuple[JsonObject, ...] = (
    {"n": 1, "x": 1.0, "big": 2**63 - 1, "small": -(2**63)},
    {"text": "nul \u0000 and ünïcode \U0001f600", "empty": "", "null": None, "yes": True},
    {"nested": {"list": [1, 1.0, "1", [], {}], "": "empty key"}},
    {},
)


async def fill(store: Store, sessions: int, seed: int = 0) -> None:
    """So many sessions, of two tenants and several users, with requests that ended in every way or run on."""
    chance = random.Random(seed)
    await store.commit((RenewLease(PROCESS, Micros(WINDOW), start=True),))
    for first in range(0, sessions, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, sessions))
        await asyncio.gather(*(_session(store, _key(number), number, chance) for number in numbers))
    for number, name in enumerate(NAMES):
        await store.commit((put(user_scope(name), VALUES[number % len(VALUES)]),))
        await store.commit((put(org_scope(name, isolated_flow="chat"), {"n": number}),))
    if store.pieces is not None:
        blobs = Blobs(store, store.pieces)
        blob = await blobs.begin(Tenant("acme"))
        for start in range(0, 3000, 1000):
            await blobs.append(blob, start, bytes([start % 7]) * 1000)
        await store.commit((await blobs.verify(blob, size=3000), RequireBlob(blob)))
    await store.commit((put(user_scope("gone"), {"n": 1}),))
    await store.commit((DeleteState(user_scope("gone")),))


def _key(number: int) -> SessionKey:
    return SessionKey(Tenant(("", "acme")[number % 2]), f"{NAMES[number % len(NAMES)][:100]}-{number:05}")


async def _session(store: Store, key: SessionKey, number: int, chance: random.Random) -> None:
    created = CreateSession(
        key,
        f"log{number:013}",
        chance.choice(("chat", "agent")),
        chance.choice(NAMES),
        chance.choice(("", "org")),
        ephemeral=number % 7 == 0,
        title=f"title {number}",
        tags=("a", "ü")[: number % 3],
        metadata=VALUES[number % len(VALUES)],
    )
    repeat = IdempotencyKey(key.tenant, "p", "CreateSession", f"key-{number}")
    await store.commit(
        (
            PutIdempotencyKey(repeat, "print", Micros(WINDOW)),
            created,
            put(session_scope(key), VALUES[number % 4]),
        )
    )
    note_key = DocumentKey(session_owner(key, created.log_id), "note", (NAMES[number % len(NAMES)], ""))
    await store.commit((PutDocument(note_key, encode_json(VALUES[number % len(VALUES)])),))
    if number % 5 == 0:
        await store.commit((AppendEvents(key, (note("outside", transient=True), note("outside too"))),))
    if number % 6 == 1:
        await store.commit((AppendItems(key, created.log_id, whole_items("outside a", "outside b")),))
        await store.commit((await removal(store, key, ["outside a"], log_id=created.log_id),))
    for request in range(number % 4):
        await _request(store, key, created.user_id, f"{key.session_id[-40:]}-{request}", chance)


async def _request(
    store: Store, session: SessionKey, user: str, request_id: str, chance: random.Random
) -> None:
    create = new_request(session, request_id, user=user, process=PROCESS)
    await store.commit((create, AppendEvents(session, (note("begun"),), create.key)))
    for step in range(chance.randrange(3)):
        events: tuple[Event, ...] = (
            note("delta", transient=True),
            item_done(f"item-{step}", step),
            note("é"),
        )
        await _of_run(store, create.key, AppendEvents(session, events, create.key))
        await _of_run(store, create.key, put(request_scope(create.key), {"step": step}))
        await _of_run(store, create.key, put(user_scope(user), {"n": chance.randrange(9)}, note("state")))
    status = chance.choice([RequestStatus.IN_PROGRESS, *ENDS])
    if status.ended:
        failure = Failure("BROKEN", "it broke", {"at": 1.0}, retryable=True)
        ended = FinishRequest(
            create.key,
            status,
            ENDS[status],
            {"elapsed": 5},
            create.scopes,
            output=b'{"said":"d\\u00f6ne"}' if status is RequestStatus.COMPLETED else None,
            failure=failure if status is RequestStatus.FAILED else None,
            reason="" if status is RequestStatus.COMPLETED else "wänted so",
        )
        await _of_run(store, create.key, ended)


async def _of_run(store: Store, request: RequestKey, *writes: Write) -> None:
    await store.commit((RequireRun(request, PROCESS), *writes))
