"""A running request in a live session, and what batches make of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentRange
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import (
    IdempotencyKey,
    ProcessRecord,
    RequestHead,
    RequestStatus,
    SessionHead,
    SessionRecord,
)
from flowstate_server.model.scopes import (
    RequestKey,
    SessionKey,
    user_scope,
)
from flowstate_server.stores.commit import decide as decided
from flowstate_server.stores.commit.decide import Answer, Decision
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    PROCESSES,
    REQUEST_HEADS,
    SESSION_HEADS,
    SESSIONS,
    STATE_HEADS,
    STATES,
    Loaded,
    Table,
)
from flowstate_server.stores.contract.writes import (
    Batch,
    CommitResult,
    Write,
)
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
)

TABLES: dict[str, Table[Any, Any]] = {
    "sessions": SESSIONS,
    "processes": PROCESSES,
    "states": STATES,
    "state_heads": STATE_HEADS,
    "documents": DOCUMENTS,
}
NOW: Micros = Micros(1_000_000)
SESSION = SessionKey(Tenant("t"), "session-1")
REQUEST = RequestKey(Tenant("t"), "request-1")
ADA = user_scope("ada")
KEY = IdempotencyKey(NO_TENANT, "p", "m", "k")


def loaded(*, ranges: dict[DocumentRange, list[Document]] | None = None, **changes: object) -> Loaded:
    """A running request in a live session, and what the table of each name holds instead."""
    session = SessionRecord(
        SESSION, "log", "chat", "ada", "", ephemeral=False, create_time=Micros(1), update_time=Micros(1)
    )
    head = RequestHead(
        key=REQUEST,
        session=SESSION,
        session_log_id="log",
        log_id="request-log",
        user_id="ada",
        fingerprint="print",
        process=PROCESS,
        status=RequestStatus.IN_PROGRESS,
        create_time=Micros(1),
        sequence=4,
    )
    records: dict[Table[Any, Any], Any] = {
        SESSIONS: {SESSION: session},
        SESSION_HEADS: {SESSION: SessionHead(SESSION, "log", 7, 2, Micros(5))},
        REQUEST_HEADS: {REQUEST: head},
        PROCESSES: {PROCESS: ProcessRecord(PROCESS, lease=Micros(100), renew_time=NOW)},
    }
    records |= {TABLES[name]: rows for name, rows in changes.items()}
    return Loaded(NOW, records, ranges or {})


def deleted_session() -> dict[SessionKey, SessionRecord]:
    return {SESSION: replace(loaded().of(SESSIONS)[SESSION], delete_time=Micros(9))}


def decide(batches: list[Batch], records: Loaded | None = None) -> Decision:
    return decided(batches, records or loaded())


def ok(answer: Answer) -> CommitResult:
    assert isinstance(answer, CommitResult), answer
    return answer


def refusal(*writes: Write, records: Loaded | None = None) -> Exception:
    """The error of a batch that is refused and leaves no trace."""
    [answer], changes = decide([writes], records)
    assert isinstance(answer, Exception)
    assert changes.empty
    return answer
