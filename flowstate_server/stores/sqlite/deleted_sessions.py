"""What deleted sessions have left: bounded batches, by the number of the log, which no other incarnation has; and the
oldest part of a session that lives."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Owner, owner_bounds, request_owner, session_owner
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey, request_scope, session_scope
from flowstate_server.stores.contract.tables import Cut
from flowstate_server.stores.sqlite.places import place_of
from flowstate_server.stores.tables.numbers import STATUS_NUMBERS, state_key
from flowstate_server.stores.tables.rows import Numbers

REMOVED = STATUS_NUMBERS[RequestStatus.REMOVED]

LEFT = (
    "SELECT log, tenant, session_id, log_id, delete_time FROM sessions"
    " WHERE delete_time > 0 AND emptied = 0 ORDER BY delete_time LIMIT 1"
)
EVENTS = "SELECT place, request FROM events WHERE place > ? AND place < ? ORDER BY place LIMIT ?"
DELETE_EVENTS = "DELETE FROM events WHERE place BETWEEN ? AND ?"
DELETE_ITEMS = "DELETE FROM items WHERE place BETWEEN ? AND ?"
TURNS = (
    "DELETE FROM turns WHERE log = ?1 AND number IN"
    " (SELECT number FROM turns WHERE log = ?1 ORDER BY number LIMIT ?2)"
)
DOCUMENTS = (
    "DELETE FROM documents WHERE document IN"
    " (SELECT document FROM documents WHERE key >= ? AND key < ? ORDER BY key LIMIT ?)"
)
OPEN = "SELECT request FROM request_heads WHERE open AND log = ? LIMIT ?"
EMPTIED = "UPDATE sessions SET emptied = 1 WHERE log = ?"
REQUEST_ID = (
    "SELECT r.tenant, r.request_id FROM request_heads h CROSS JOIN requests r ON r.request = h.request"
    f" WHERE h.request = ? AND h.status <> {REMOVED}"
)
REMOVE_HEAD = (
    f"UPDATE request_heads SET status = {REMOVED}, open = 0, unswept = 0, end_time = ?, cancel_reason = NULL"
    " WHERE request = ?"
)
REMOVE_INPUT = "UPDATE requests SET input = x'' WHERE request = ?"
REMOVE_OUTCOME = "DELETE FROM outcomes WHERE request = ?"
_THIS_STATE = "FROM states WHERE kind = ? AND tenant = ? AND id = ? AND flow_kind = ?"
REMOVE_PARTS = f"DELETE FROM state_parts WHERE state IN (SELECT state {_THIS_STATE})"
REMOVE_STATE = f"DELETE {_THIS_STATE}"
REQUESTS = (
    f"SELECT request FROM request_heads WHERE status = {REMOVED} AND end_time <= ? ORDER BY end_time LIMIT ?"
)
TOMBSTONES = (
    "SELECT log, tenant, session_id, replaced FROM sessions"
    " WHERE delete_time > 0 AND emptied = 1 AND delete_time <= ? ORDER BY delete_time LIMIT ?"
)


class _Left(NamedTuple):
    log: int
    tenant: Tenant
    session_id: str
    log_id: str
    delete_time: Micros

    @property
    def owner(self) -> Owner:
        return session_owner(SessionKey(self.tenant, self.session_id), self.log_id)


def empty_sessions(cursor: sqlite3.Cursor, limit: int) -> int:
    """Delete up to about ``limit`` rows, those of the session that was deleted first ahead of the others."""
    gone = 0
    while gone < limit:
        found = cursor.execute(LEFT).fetchone()
        if found is None:
            break
        gone += _empty(cursor, _Left(*found), limit - gone)
    return gone


def _empty(cursor: sqlite3.Cursor, left: _Left, limit: int) -> int:
    between = place_of(left.log, 0), place_of(left.log + 1, 0)
    events = cursor.execute(EVENTS, (*between, limit)).fetchall()
    if events:
        places = events[0][0], events[-1][0]
        cursor.execute(DELETE_EVENTS, places)
        cursor.execute(DELETE_ITEMS, places)
        remove_requests(cursor, {request for _, request in events if request is not None}, left.delete_time)
        return len(events)
    gone = cursor.execute(TURNS, (left.log, limit)).rowcount
    gone += cursor.execute(DOCUMENTS, (*owner_bounds(left.owner), limit)).rowcount
    # Those that a copy has brought from a store in which nothing had ended them.
    opened = [request for (request,) in cursor.execute(OPEN, (left.log, limit)).fetchall()]
    remove_requests(cursor, opened, left.delete_time)
    gone += len(opened)
    if gone < limit:
        cursor.execute(EMPTIED, (left.log,))
    return gone + 1


def remove_requests(cursor: sqlite3.Cursor, requests: set[int] | list[int], time: Micros) -> None:
    """Leave of the requests, by their numbers, their ids alone."""
    for request in requests:
        found = cursor.execute(REQUEST_ID, (request,)).fetchone()
        if found is not None:
            cursor.execute(REMOVE_HEAD, (time, request))
            _remove_content(cursor, request, RequestKey(*found))


def _remove_content(cursor: sqlite3.Cursor, request: int, key: RequestKey) -> None:
    cursor.execute(REMOVE_INPUT, (request,))
    cursor.execute(REMOVE_OUTCOME, (request,))
    _remove_state(cursor, request_scope(key))
    cursor.execute(DOCUMENTS, (*owner_bounds(request_owner(key)), -1))


def _remove_state(cursor: sqlite3.Cursor, key: ScopeKey) -> None:
    cursor.execute(REMOVE_PARTS, state_key(key))
    cursor.execute(REMOVE_STATE, state_key(key))


def cut(cursor: sqlite3.Cursor, part: Cut, numbers: Numbers) -> None:
    """Remove the oldest part of a log."""
    for key in part.requests:
        request = numbers.requests[key]
        cursor.execute("DELETE FROM events WHERE request = ?", (request,))
        cursor.execute("DELETE FROM items WHERE request = ?", (request,))
        _remove_content(cursor, request, key)
    log = numbers.logs[part.session, part.log_id]
    between = place_of(log, part.after), place_of(log, part.place)
    for table in ("events", "items"):
        cursor.execute(f"DELETE FROM {table} WHERE request IS NULL AND place > ? AND place <= ?", between)


def forget_requests(cursor: sqlite3.Cursor, before: Micros, limit: int) -> int:
    """Delete ids of requests that were removed up to ``before``."""
    found = cursor.execute(REQUESTS, (before, limit)).fetchall()
    for request in found:
        cursor.execute("DELETE FROM request_heads WHERE request = ?", request)
        cursor.execute("DELETE FROM requests WHERE request = ?", request)
    return len(found)


def forget_sessions(cursor: sqlite3.Cursor, before: Micros, limit: int) -> int:
    """Delete tombstones of sessions that were deleted up to ``before``; of their requests nothing is there any more."""
    found = cursor.execute(TOMBSTONES, (before, limit)).fetchall()
    for log, tenant, session_id, replaced in found:
        if not replaced:
            _remove_state(cursor, session_scope(SessionKey(tenant, session_id)))
        cursor.execute("DELETE FROM session_heads WHERE log = ?", (log,))
        cursor.execute("DELETE FROM sessions WHERE log = ?", (log,))
    return len(found)
