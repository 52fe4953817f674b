"""What deleted sessions have left: bounded batches, by the number of the log, which no other incarnation has; and the
oldest part of a session that lives.

Each is one statement, hence whole. Rows that a group or another server holds are left for later.
"""

from __future__ import annotations

from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import owner_bounds, session_owner
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import ScopeKind, SessionKey
from flowstate_server.stores.contract.tables import Cut
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.statements import TIME
from flowstate_server.stores.tables.numbers import SCOPE_NUMBERS, STATUS_NUMBERS
from flowstate_server.stores.tables.rows import Numbers

REMOVED = STATUS_NUMBERS[RequestStatus.REMOVED]
_REQUEST, _SESSION = SCOPE_NUMBERS[ScopeKind.REQUEST], SCOPE_NUMBERS[ScopeKind.SESSION]

LEFT = (
    "SELECT log, tenant, session_id, log_id, delete_time FROM flowstate.sessions"
    " WHERE delete_time > 0 AND NOT emptied ORDER BY delete_time LIMIT 1"
)
# The first bytes of the keys of a request's documents, as ``documents.owner_bounds`` makes them.
_OWNED = (
    r"convert_to('request', 'UTF8') || '\x00'::bytea || convert_to(r.tenant, 'UTF8') || '\x00'::bytea"
    r" || convert_to(r.request_id, 'UTF8') || '\x000000'::bytea"
)


_PARTS = "parts AS (DELETE FROM flowstate.state_parts p USING states WHERE p.state = states.state)"
_CONTENT = (
    r" inputs AS (UPDATE flowstate.requests r SET input = '\x'::bytea FROM keys WHERE r.request = keys.request),"
    " outcomes AS (DELETE FROM flowstate.outcomes o USING keys WHERE o.request = keys.request),"
    " states AS (DELETE FROM flowstate.states t USING keys r"
    f" WHERE t.kind = {_REQUEST} AND t.tenant = r.tenant AND t.id = r.request_id AND t.flow_kind = ''"
    f" RETURNING t.state), {_PARTS},"
    " owned AS (DELETE FROM flowstate.documents d USING keys r"
    rf" WHERE d.key >= {_OWNED} AND d.key < {_OWNED} || '\xff'::bytea)"
)
"""Parts of a statement that remove what the requests ``keys`` have, but for their logs and heads."""


def _removing(requests: str, time: str) -> str:
    """Parts of a statement that leave of ``requests`` their ids alone, removed at ``time``."""
    return (
        "keys AS (SELECT r.request, r.tenant, r.request_id FROM flowstate.requests r"
        " JOIN flowstate.request_heads h ON h.request = r.request"
        f" WHERE r.request IN ({requests}) AND h.status <> {REMOVED}),"
        f" heads AS (UPDATE flowstate.request_heads h SET status = {REMOVED}, open = false, unswept = false,"
        f" end_time = {time}, cancel_reason = NULL FROM keys WHERE h.request = keys.request),"
        f"{_CONTENT}"
    )


CUT = (
    "WITH keys AS (SELECT request, tenant, request_id FROM flowstate.requests WHERE request = ANY ($1::bigint[])),"
    f"{_CONTENT},"
    " events AS (DELETE FROM flowstate.events WHERE request = ANY ($1::bigint[])),"
    " items AS (DELETE FROM flowstate.items WHERE request = ANY ($1::bigint[])),"
    " events_outside AS (DELETE FROM flowstate.events"
    " WHERE request IS NULL AND log = $2 AND session_sequence > $3 AND session_sequence <= $4),"
    " items_outside AS (DELETE FROM flowstate.items"
    " WHERE request IS NULL AND log = $2 AND session_sequence > $3 AND session_sequence <= $4)"
    " SELECT 1"
)


EVENTS = (
    "WITH old AS (SELECT log, session_sequence, request FROM flowstate.events WHERE log = $1"
    " ORDER BY session_sequence LIMIT $2),"
    " items AS (DELETE FROM flowstate.items i USING old"
    " WHERE i.log = old.log AND i.session_sequence = old.session_sequence),"
    " gone AS (DELETE FROM flowstate.events e USING old"
    " WHERE e.log = old.log AND e.session_sequence = old.session_sequence),"
    f" {_removing('SELECT request FROM old', '$3')} SELECT count(*) FROM old"
)
TURNS = (
    "WITH gone AS (DELETE FROM flowstate.turns u USING (SELECT log, number FROM flowstate.turns WHERE log = $1"
    " ORDER BY number LIMIT $2) old WHERE u.log = old.log AND u.number = old.number RETURNING 1)"
    " SELECT count(*) FROM gone"
)
DOCUMENTS = (
    "WITH gone AS (DELETE FROM flowstate.documents WHERE document IN (SELECT document FROM flowstate.documents"
    " WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3) RETURNING 1) SELECT count(*) FROM gone"
)
# Those that a copy has brought from a store in which nothing had ended them.
OPEN = (
    "WITH opened AS (SELECT request FROM flowstate.request_heads WHERE open AND log = $1 LIMIT $2),"
    f" {_removing('SELECT request FROM opened', '$3')} SELECT count(*) FROM opened"
)
EMPTIED = "UPDATE flowstate.sessions SET emptied = true WHERE log = $1"
REQUESTS = (
    f"WITH old AS (SELECT request FROM flowstate.request_heads WHERE status = {REMOVED}"
    f" AND end_time <= ({TIME}) - $1::bigint ORDER BY end_time LIMIT $2 FOR UPDATE SKIP LOCKED),"
    " heads AS (DELETE FROM flowstate.request_heads h USING old WHERE h.request = old.request),"
    " gone AS (DELETE FROM flowstate.requests r USING old WHERE r.request = old.request)"
    " SELECT count(*) FROM old"
)
TOMBSTONES = (
    "WITH old AS (SELECT log, tenant, session_id, replaced FROM flowstate.sessions s WHERE delete_time > 0 AND emptied"
    f" AND delete_time <= ({TIME}) - $1::bigint AND NOT EXISTS (SELECT 1 FROM flowstate.request_heads h"
    f" WHERE h.status = {REMOVED} AND h.end_time = s.delete_time AND h.log = s.log)"
    " ORDER BY delete_time LIMIT $2 FOR UPDATE SKIP LOCKED),"
    " states AS (DELETE FROM flowstate.states t USING old WHERE NOT old.replaced"
    f" AND t.kind = {_SESSION} AND t.tenant = old.tenant AND t.id = old.session_id AND t.flow_kind = ''"
    f" RETURNING t.state), {_PARTS},"
    " heads AS (DELETE FROM flowstate.session_heads c USING old WHERE c.log = old.log),"
    " gone AS (DELETE FROM flowstate.sessions s USING old WHERE s.log = old.log)"
    " SELECT count(*) FROM old"
)


async def cut(connection: Any, part: Cut, numbers: Numbers) -> None:
    """Remove the oldest part of a log, in the transaction of ``connection``."""
    requests = [numbers.requests[key] for key in part.requests]
    log = numbers.logs[part.session, part.log_id]
    await connection.fetch(CUT, requests, log, part.after, part.place)


async def sweep(connections: Connections, retention: Micros, limit: int) -> int:
    """See ``Sweeps.sweep_sessions``."""
    gone = 0
    while gone < limit:
        left = await connections.work(LEFT)
        if not left:
            break
        gone += await _empty(connections, *left[0], limit=limit - gone)
    if gone < limit:
        gone += await _count(connections, REQUESTS, retention, limit - gone)
    if gone < limit:
        gone += await _count(connections, TOMBSTONES, retention, limit - gone)
    return gone


async def _empty(
    connections: Connections,
    log: int,
    tenant: str,
    session_id: str,
    log_id: str,
    delete_time: int,
    *,
    limit: int,
) -> int:
    gone = await _count(connections, EVENTS, log, limit, delete_time)
    if gone:
        return gone
    owner = session_owner(SessionKey(Tenant(tenant), session_id), log_id)
    gone = await _count(connections, TURNS, log, limit)
    gone += await _count(connections, DOCUMENTS, *owner_bounds(owner), limit)
    gone += await _count(connections, OPEN, log, limit, delete_time)
    if gone < limit:
        await connections.work(EMPTIED, log)
    return gone + 1


async def _count(connections: Connections, statement: str, *values: object) -> int:
    [(count,)] = await connections.work(statement, *values)
    return int(count)
