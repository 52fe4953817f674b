"""A short life of a store, and all that it then holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from flowstate_server.errors import StoreOpenError, StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey, scope_owner, session_owner
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import IdempotencyKey, TurnKey
from flowstate_server.model.removals import EmptiedRequest, ItemKey, ItemRemoval
from flowstate_server.model.scopes import RequestKey, SessionKey, org_scope, request_scope, user_scope
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.contract.item_writes import RemoveItems
from flowstate_server.stores.contract.tables import EVENTS, EXPORTED, Table
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    AtVersion,
    Batch,
    PutIdempotencyKey,
    RenewLease,
    RequestCancel,
    UpdateSession,
)
from flowstate_server.stores.filesystem import FilesystemStore
from flowstate_server.testing.store_contract.builders import (
    FOR_CLIENTS,
    LEASE,
    PROCESS,
    events_of,
    finish,
    increment,
    item_done,
    new_request,
    new_session,
    note,
    number,
)
from tests.stores.filesystem.faults import FaultyFiles

Record = TypeVar("Record")

SESSION = SessionKey(Tenant("acme"), "sess_1")
REQUEST = RequestKey(Tenant("acme"), "req_1")
ADA, ACME = user_scope("ada"), org_scope("acme")
PLAN = DocumentKey(session_owner(SESSION, "log-sess_1"), "plan", ("2026", "Trip to Zoë"))
NOTE = DocumentKey(scope_owner(ADA), "note", ())
STEPS = 9
ITEM, DELTA, END = 4, 5, 10
"""Places in the session's log."""


@dataclass
class Outcome:
    """How far the life came: steps that were answered, and whether one more was begun and not answered."""

    answered: int = 0
    finished: bool = False
    errors: list[Exception] = field(default_factory=list)


def batches() -> list[Batch]:
    """Each adds one to two records and appends an event that tells its number."""
    special: list[Batch] = [
        (RenewLease(PROCESS, LEASE, start=True), new_session(SESSION.session_id, tenant=SESSION.tenant)),
        (new_request(SESSION, REQUEST.request_id),),
        (increment(request_scope(REQUEST), request=REQUEST), PutIdempotencyKey(_key("new"), "f", LEASE)),
        (AppendEvents(SESSION, (item_done("item"), note("t", transient=True)), REQUEST),),
        (AppendEvents(SESSION, (note("t", transient=True),)), PutIdempotencyKey(_key("old"), "f", Micros(1))),
        (
            RequestCancel(REQUEST, "why"),
            RenewLease(PROCESS, Micros(LEASE + 1)),
            PutDocument(PLAN, b'{"n": 1.50}'),
        ),
        (finish(REQUEST), PutDocument(NOTE, b"[]"), PutDocument(PLAN, b"{}", AtVersion(1))),
        (UpdateSession(SESSION, {"title": "Holidays"}), DeleteDocument(PLAN, remembered=LEASE)),
        (new_request(SESSION, "req_2"), DeleteDocument(NOTE)),
    ]
    assert len(special) == STEPS
    return [
        (*batch, increment(ADA), AppendEvents(SESSION, (note(str(step)),)), increment(ACME))
        for step, batch in enumerate(special)
    ]


def _removal() -> RemoveItems:
    """Of the only item, and with it of what its request was."""
    log_id = PLAN.owner.incarnation
    item = ItemRemoval(
        ItemKey(SESSION, log_id, ITEM), "item", FOR_CLIENTS, REQUEST.request_id, deltas=(DELTA,)
    )
    emptied = EmptiedRequest(REQUEST, SESSION, log_id, END, b"{}")
    return RemoveItems(SESSION, log_id, (item,), 0, (TurnKey(SESSION, log_id, 1),), (emptied,))


def _key(name: str) -> IdempotencyKey:
    return IdempotencyKey(Tenant("acme"), "p", "m", name)


async def live(store: FilesystemStore) -> Outcome:
    """Open, commit, sweep, commit, close; ends at the first error."""
    outcome = Outcome()
    try:
        await store.open()
        for batch in batches():
            await store.commit(batch)
            outcome.answered += 1
        await store.sweep_transient_events(retention=Micros(0), limit=100)
        await store.sweep_documents(limit=100)
        for told, more in (("last", ()), ("removed", (_removal(),))):
            await store.commit((*more, increment(ADA), AppendEvents(SESSION, (note(told),)), increment(ACME)))
            outcome.answered += 1
        outcome.finished = True
    except (StoreUnavailableError, StoreOpenError) as error:
        outcome.errors.append(error)
    await store.close()
    return outcome


async def die_after(folder: Path, commits: int) -> None:
    """A store that commits and then dies: its journal stays."""
    files = FaultyFiles()
    store = FilesystemStore(folder, files=files)
    await store.open()
    for _ in range(commits):
        await store.commit((increment(ADA), increment(ACME)))
    files.crash_after(0)
    await store.close()


async def check_whole(folder: Path, outcome: Outcome) -> None:
    """All that was answered is there, and nothing half; the store goes on, and opening again changes nothing."""
    async with opened(folder) as store:
        states = await store.load_states([ADA, ACME])
        steps = number(states[ADA])
        assert steps == number(states[ACME])
        assert outcome.answered <= steps <= outcome.answered + 1
        await check_steps(store, steps)
        if steps:
            await store.commit((increment(ADA), AppendEvents(SESSION, (note("on"),)), increment(ACME)))
        held = await everything(store)
    async with opened(folder) as store:
        assert await everything(store) == held


async def check_steps(store: FilesystemStore, steps: int) -> None:
    session = await store.get_session(SESSION)
    assert (session is not None) == (steps >= 1)
    request = await store.get_request(REQUEST)
    assert (request is not None) == (steps >= 2)
    if session is None or request is None:
        return
    head = request.head
    assert session.title == ("Holidays" if steps >= 8 else "")
    assert head.cancel_requested == (steps >= 6)
    removed = steps >= 11
    assert (head.status.ended, request.output) == (
        (False, None) if steps < 7 else (True, None if removed else b'"done"')
    )
    assert (request.input == b"") == removed
    assert ((await store.load_states([request_scope(REQUEST)]))[request_scope(REQUEST)].version) == (
        1 if 3 <= steps < 7 else 0
    )
    kept = [1] * (steps >= 4) + [3] * (steps >= 7)
    found = await events_of(store, REQUEST)
    events = [event.sequence for event in found]
    assert events in ([kept] if removed else [kept, sorted([*kept, *[2] * (steps >= 4)])])
    assert [one.event.item.removed for one in found if one.event.item is not None] == [removed] * (steps >= 4)
    items = await store.read_turns(SESSION, session.log_id, newest=5)
    assert [item.turn for item in items] == [1] * (7 <= steps < 11)
    assert len(await store.list_turns(SESSION, session.log_id, limit=5)) == (7 <= steps < 11)
    documents = await store.load_documents([PLAN, NOTE])
    assert {key: document.text for key, document in documents.items()} == (
        ({PLAN: b'{"n": 1.50}'} if steps == 6 else {PLAN: b"{}"} if steps == 7 else {})
        | ({NOTE: b"[]"} if steps in (7, 8) else {})
    )
    log = await exported(store, EVENTS)
    texts = [event.event.payload for event in log if not event.request_id and not event.event.transient]
    notes = [*map(str, range(STEPS)), "last", "removed"][:steps]
    assert [text for text in texts if b'"note"' in text] == [note(text).payload for text in notes]
    projection = await store.read_projection(SESSION, [])
    assert projection is not None
    assert [event.session_sequence for event in log] == sorted({event.session_sequence for event in log})
    assert log[-1].session_sequence == projection.head.sequence


async def exported(store: FilesystemStore, table: Table[Any, Record]) -> Sequence[Record]:
    assert store.exports is not None
    return await store.exports.export(table, after=None, limit=1000, max_bytes=1 << 24)


async def everything(store: FilesystemStore) -> list[object]:
    """All that the store exports."""
    tables: tuple[Table[Any, Any], ...] = EXPORTED
    return [await exported(store, table) for table in tables]


class opened:
    """``async with opened(folder) as store``."""

    def __init__(self, folder: Path) -> None:
        self._store = FilesystemStore(folder)

    async def __aenter__(self) -> FilesystemStore:
        await self._store.open()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()
