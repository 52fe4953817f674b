"""Which tables are kept, a file for each record. Events are not among them: they are lines of logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from flowstate_server.model.documents import Document
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import (
    ProcessRecord,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateRecord,
    TurnRecord,
)
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    PROCESSES,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)
from flowstate_server.stores.filesystem import names


@frozen
class Kept:
    """How a table is kept: the class of its records, where each one's file is, and where all of them are."""

    table: Table[Any, Any]
    record: type
    path: Callable[[Any, names.SessionOf], PurePosixPath]
    patterns: tuple[str, ...]


_STATES = (
    "sessions/*/*/state.json",
    "sessions/*/*/requests/*/state.json",
    "users/*/*.json",
    "orgs/*/*.json",
)

KEPT = (
    Kept(SESSIONS, SessionRecord, names.session_path, ("sessions/*/*/session.json",)),
    Kept(SESSION_HEADS, SessionHead, names.counters_path, ("sessions/*/*/counters.json",)),
    Kept(REQUESTS, RequestRecord, names.request_path, ("sessions/*/*/requests/*/request.json",)),
    Kept(TURNS, TurnRecord, names.turn_path, ("sessions/*/*/turns-*/*.json",)),
    Kept(STATES, StateRecord, names.state_path, _STATES),
    Kept(PROCESSES, ProcessRecord, names.process_path, ("processes/*.json",)),
    Kept(DOCUMENTS, Document, names.document_path, ("documents/*/*/*/*.json",)),
)

PATHS = {kept.table: kept.path for kept in KEPT}


def as_found(table: Table[Any, Any], key: Any) -> Any:
    """What is left of a key in the path of its record."""
    path = PATHS[table](key, lambda request: SessionKey(request.tenant, ""))
    return names.key_at(path)
