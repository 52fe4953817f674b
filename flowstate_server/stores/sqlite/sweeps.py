"""Range deletes: each call is one bounded batch."""

from __future__ import annotations

import sqlite3

from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.stores.contract.backend import Sweeps
from flowstate_server.stores.sqlite import deleted_sessions, documents
from flowstate_server.stores.sqlite.known_rows import KnownRows
from flowstate_server.stores.sqlite.writer import Writer

ENDED = (
    "SELECT request FROM request_heads WHERE unswept AND end_time > 0 AND end_time <= ?"
    " ORDER BY end_time LIMIT 1"
)
OF_REQUEST = (
    "DELETE FROM events WHERE place IN (SELECT place FROM events WHERE request = ? AND transient LIMIT ?)"
)
SWEPT = "UPDATE request_heads SET unswept = 0 WHERE request = ?"
OUTSIDE = (
    "DELETE FROM events WHERE place IN (SELECT place FROM events"
    " WHERE transient AND request IS NULL AND time <= ? ORDER BY time LIMIT ?)"
)
PROCESSES = (
    "DELETE FROM processes WHERE process IN (SELECT process FROM processes p WHERE fenced AND NOT EXISTS"
    " (SELECT 1 FROM request_heads h WHERE h.process = p.process AND h.status = 0) LIMIT ?)"
)
COMMITS = (
    "DELETE FROM commits WHERE id IN"
    " (SELECT id FROM (SELECT id, time FROM commits ORDER BY id LIMIT ?) WHERE time < ?)"
)


class SqliteSweeps(Sweeps):
    def __init__(self, writer: Writer, clock: ForwardClock, known: KnownRows) -> None:
        self._writer = writer
        self._clock = clock
        self._known = known

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        return await self._writer.run(_transient_events, Micros(self._clock.now() - retention), limit)

    async def sweep_documents(self, *, limit: int) -> int:
        return await self._writer.run(_deleted, documents.EXPIRED, self._clock.now(), limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return await self._writer.run(_deleted, PROCESSES, limit)

    async def sweep_sessions(self, *, retention: Micros, limit: int) -> int:
        before = Micros(self._clock.now() - retention)
        return await self._writer.run(_sessions, self._known, before, limit)


def _sessions(cursor: sqlite3.Cursor, known: KnownRows, before: Micros, limit: int) -> int:
    gone = deleted_sessions.empty_sessions(cursor, limit)
    forgotten = 0
    if gone < limit:
        forgotten = deleted_sessions.forget_requests(cursor, before, limit - gone)
    if gone + forgotten < limit:
        forgotten += deleted_sessions.forget_sessions(cursor, before, limit - gone - forgotten)
    if forgotten:
        known.forget()
    return gone + forgotten


def trim_commits(cursor: sqlite3.Cursor, *, before: Micros, limit: int) -> int:
    return _deleted(cursor, COMMITS, limit, before)


def _deleted(cursor: sqlite3.Cursor, statement: str, *values: int) -> int:
    return cursor.execute(statement, values).rowcount


def _transient_events(cursor: sqlite3.Cursor, before: Micros, limit: int) -> int:
    deleted = 0
    while deleted < limit:
        ended = cursor.execute(ENDED, (before,)).fetchone()
        if ended is None:
            break
        asked = limit - deleted
        gone = _deleted(cursor, OF_REQUEST, *ended, asked)
        deleted += gone
        if gone < asked:
            cursor.execute(SWEPT, ended)
    if deleted < limit:
        deleted += _deleted(cursor, OUTSIDE, before, limit - deleted)
    return deleted
