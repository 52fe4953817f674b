"""Range deletes: each call is one bounded batch."""

from __future__ import annotations

import sqlite3

from flowstate_server.model.clock import Micros

_ENDED = (
    "SELECT request FROM request_heads WHERE unswept = 1 AND end_time > 0 AND end_time <= ?"
    " ORDER BY end_time LIMIT 1"
)
_OF_REQUEST = (
    "DELETE FROM events WHERE place IN (SELECT place FROM events WHERE request = ? AND transient = 1 LIMIT ?)"
)
_SWEPT = "UPDATE request_heads SET unswept = 0 WHERE request = ?"
_OUTSIDE = (
    "DELETE FROM events WHERE place IN (SELECT place FROM events"
    " WHERE transient = 1 AND request IS NULL AND time <= ? ORDER BY time LIMIT ?)"
)
_KEYS = (
    "DELETE FROM idempotency_keys WHERE number IN (SELECT number FROM idempotency_keys"
    " WHERE expire_time <= ? ORDER BY expire_time LIMIT ?)"
)
_PROCESSES = (
    "DELETE FROM processes WHERE process IN (SELECT process FROM processes p WHERE fenced = 1 AND NOT EXISTS"
    " (SELECT 1 FROM request_heads h WHERE h.process = p.process AND h.status = 0) LIMIT ?)"
)
_COMMITS = (
    "DELETE FROM commits WHERE id IN"
    " (SELECT id FROM (SELECT id, time FROM commits ORDER BY id LIMIT ?) WHERE time < ?)"
)


def sweep_transient_events(cursor: sqlite3.Cursor, *, before: Micros, limit: int) -> int:
    deleted = 0
    while deleted < limit:
        ended = cursor.execute(_ENDED, (before,)).fetchone()
        if ended is None:
            break
        asked = limit - deleted
        gone = cursor.execute(_OF_REQUEST, (*ended, asked)).rowcount
        deleted += gone
        if gone < asked:
            cursor.execute(_SWEPT, ended)
    if deleted < limit:
        deleted += cursor.execute(_OUTSIDE, (before, limit - deleted)).rowcount
    return deleted


def sweep_idempotency_keys(cursor: sqlite3.Cursor, *, time: Micros, limit: int) -> int:
    return cursor.execute(_KEYS, (time, limit)).rowcount


def sweep_processes(cursor: sqlite3.Cursor, *, limit: int) -> int:
    return cursor.execute(_PROCESSES, (limit,)).rowcount


def trim_commits(cursor: sqlite3.Cursor, *, before: Micros, limit: int) -> int:
    return cursor.execute(_COMMITS, (limit, before)).rowcount
