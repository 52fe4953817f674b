"""Which tables are kept, a file for each record. Events are not among them: they are lines of logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from flowstate_server.model.frozen import frozen
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Table
from flowstate_server.stores.filesystem import names


@frozen
class Kept:
    """How a table is kept: where each record's file is, and where all of them are."""

    table: Table[Any, Any]
    path: Callable[[Any, names.SessionOf], PurePosixPath]
    patterns: tuple[str, ...]


_STATES = (
    "sessions/*/*/state.json",
    "sessions/*/*/requests/*/state.json",
    "users/*/*.json",
    "orgs/*/*.json",
)

KEPT = (
    Kept(tables.SESSIONS, names.session_path, ("sessions/*/*/session.json",)),
    Kept(tables.SESSION_HEADS, names.counters_path, ("sessions/*/*/counters.json",)),
    Kept(tables.REQUESTS, names.request_path, ("sessions/*/*/requests/*/request.json",)),
    Kept(tables.TURNS, names.turn_path, ("sessions/*/*/turns-*/*.json",)),
    Kept(tables.STATES, names.state_path, _STATES),
    Kept(tables.PROCESSES, names.process_path, ("processes/*.json",)),
    Kept(tables.DOCUMENTS, names.document_path, ("documents/*/*/*/*.json",)),
)

PATHS = {kept.table: kept.path for kept in KEPT}


def as_found(table: Table[Any, Any], key: Any) -> Any:
    """What is left of a key in the path of its record."""
    path = PATHS[table](key, lambda request: SessionKey(request.tenant, ""))
    return names.key_at(path)
