"""Range deletes: each call is one bounded batch of short transactions. Rows that a group holds are left for later."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.stores.contract.backend import Sweeps
from flowstate_server.stores.postgres import deleted_sessions, documents
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.statements import TIME

_ENDED = (
    "SELECT request FROM flowstate.request_heads WHERE unswept AND end_time > 0"
    f" AND end_time <= ({TIME}) - $1::bigint ORDER BY end_time LIMIT 1"
)
_OF_REQUEST = (
    "WITH gone AS (DELETE FROM flowstate.events e USING (SELECT log, session_sequence FROM flowstate.events"
    " WHERE request = $1 AND transient LIMIT $2) old"
    " WHERE e.log = old.log AND e.session_sequence = old.session_sequence RETURNING 1) SELECT count(*) FROM gone"
)
_SWEPT = "UPDATE flowstate.request_heads SET unswept = false WHERE request = $1"
_OUTSIDE = (
    "WITH gone AS (DELETE FROM flowstate.events e USING (SELECT log, session_sequence FROM flowstate.events"
    f" WHERE transient AND request IS NULL AND time <= ({TIME}) - $1::bigint ORDER BY time LIMIT $2) old"
    " WHERE e.log = old.log AND e.session_sequence = old.session_sequence RETURNING 1) SELECT count(*) FROM gone"
)
_PROCESSES = (
    "WITH gone AS (DELETE FROM flowstate.processes WHERE process IN"
    " (SELECT process FROM flowstate.processes p WHERE fenced AND NOT EXISTS (SELECT 1 FROM flowstate.request_heads h"
    " WHERE h.process = p.process AND h.status = 0) LIMIT $1 FOR UPDATE SKIP LOCKED)"
    " RETURNING 1) SELECT count(*) FROM gone"
)
_COMMITS = (
    "WITH gone AS (DELETE FROM flowstate.commits WHERE id IN (SELECT id FROM (SELECT id, time FROM flowstate.commits"
    f" ORDER BY id LIMIT $2) oldest WHERE time < ({TIME}) - $1::bigint) RETURNING 1) SELECT count(*) FROM gone"
)


class PostgresSweeps(Sweeps):
    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        connections = self._connections
        deleted = 0
        while deleted < limit:
            ended = await connections.work(_ENDED, retention)
            if not ended:
                break
            asked = limit - deleted
            [(request,)] = ended
            gone = await _count(connections, _OF_REQUEST, request, asked)
            deleted += gone
            if gone < asked:
                await connections.work(_SWEPT, request)
        if deleted < limit:
            deleted += await _count(connections, _OUTSIDE, retention, limit - deleted)
        return deleted

    async def sweep_documents(self, *, limit: int) -> int:
        return await _count(self._connections, documents.EXPIRED, limit)

    async def sweep_processes(self, *, limit: int) -> int:
        return await _count(self._connections, _PROCESSES, limit)

    async def sweep_sessions(self, *, retention: Micros, limit: int) -> int:
        return await deleted_sessions.sweep(self._connections, retention, limit)


async def trim_commits(connections: Connections, *, age: Micros, limit: int) -> int:
    """Forget the oldest commits, which every process but a stuck one has seen."""
    return await _count(connections, _COMMITS, age, limit)


async def _count(connections: Connections, statement: str, *values: object) -> int:
    [(count,)] = await connections.work(statement, *values)
    return int(count)
