"""Removing what deleted sessions have left, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import request_owner, session_owner
from flowstate_server.model.records import RequestStatus, removed_head
from flowstate_server.model.scopes import request_scope, session_scope
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Changes,
)
from flowstate_server.stores.resident.damage import Incarnation
from flowstate_server.stores.resident.tables import Tables

Write = Callable[[Changes, Incarnation | None], None]
"""Writes changes; with an incarnation its log goes as well."""


def take_documents(tables: Tables, changes: Changes) -> None:
    """Let the documents of requests go with them."""
    owned = [
        found
        for cut in changes.cuts
        for key in cut.requests
        for found in tables.documents.owned(request_owner(key))
    ]
    if owned:
        changes.removed.setdefault(DOCUMENTS, []).extend(owned)


def sweep(tables: Tables, write: Write, now: Micros, before: Micros, limit: int) -> int:
    """See ``Sweeps.sweep_sessions``."""
    deleted = tables.deleted
    gone = 0
    while gone < limit and deleted.left:
        incarnation, time = next(iter(deleted.left.items()))
        changes, rows = _left(tables, incarnation, Changes(now), time, limit - gone)
        write(changes, incarnation)
        if rows < limit - gone:
            del deleted.left[incarnation]
            if tables.is_present(*incarnation):
                deleted.tombstones[incarnation[0]] = time
        gone += rows + 1
    if gone < limit:
        gone += _forget_requests(tables, write, Changes(now), before, limit - gone)
    if gone < limit:
        gone += _forget_sessions(tables, write, Changes(now), before, limit - gone)
    return gone


def _left(
    tables: Tables, incarnation: Incarnation, changes: Changes, time: Micros, limit: int
) -> tuple[Changes, int]:
    """What removes up to ``limit`` rows of the incarnation, whose events go at once."""
    requests = tables.requests_of(incarnation, limit)
    heads = [removed_head(tables.requests[key].head, time) for key in requests]
    scopes = [scope for key in requests if (scope := request_scope(key)) in tables.states]
    documents = [found for key in requests for found in tables.documents.owned(request_owner(key))]
    left = limit - len(heads)
    turns = tables.turns_of(incarnation, left)
    left -= len(turns)
    documents += islice(tables.documents.owned(session_owner(*incarnation)), left)
    if heads:
        changes.changed[REQUEST_HEADS] = heads
    removed: dict[Any, list[Any]] = {STATES: scopes, TURNS: turns, DOCUMENTS: documents}
    changes.removed = {table: keys for table, keys in removed.items() if keys}
    return changes, len(heads) + len(turns) + len(documents)


def _forget_requests(tables: Tables, write: Write, changes: Changes, before: Micros, limit: int) -> int:
    due = [
        key
        for key in tables.deleted.due_requests(before, limit)
        if key in tables.requests and tables.requests[key].head.status is RequestStatus.REMOVED
    ]
    if due:
        changes.removed[REQUESTS] = due
        write(changes, None)
    return len(due)


def _forget_sessions(tables: Tables, write: Write, changes: Changes, before: Micros, limit: int) -> int:
    due = tables.deleted.due_sessions(before, limit)
    if due:
        changes.removed = {SESSIONS: due, SESSION_HEADS: due}
        states = [scope for key in due if (scope := session_scope(key)) in tables.states]
        if states:
            changes.removed[STATES] = states
        write(changes, None)
        for key in due:
            tables.deleted.tombstones.pop(key, None)
    return len(due)
