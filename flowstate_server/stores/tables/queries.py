"""Queries that all databases understand, but for the names of tables and parameters: they are as Postgres has them.

``JOIN`` stands in the order in which tables are to be read.
"""

from __future__ import annotations

from flowstate_server.model.records import RequestStatus
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import STATUS_NUMBERS

SESSIONS = "flowstate.sessions s JOIN flowstate.session_heads c ON c.log = s.log"
_REQUESTS = (
    "flowstate.requests r JOIN flowstate.request_heads h ON h.request = r.request"
    " JOIN flowstate.sessions s ON s.log = h.log"
)
OUTCOMES = f"{_REQUESTS} LEFT JOIN flowstate.outcomes o ON o.request = r.request"
HEADS = (
    "flowstate.request_heads h JOIN flowstate.requests r ON r.request = h.request"
    " JOIN flowstate.sessions s ON s.log = h.log"
)
THIS_SESSION = "s.tenant = $1 AND s.session_id = $2 AND NOT s.replaced"
THIS_REQUEST = "r.tenant = $1 AND r.request_id = $2"
REMOVED = STATUS_NUMBERS[RequestStatus.REMOVED]
# Said otherwise than in the indexes that list sessions, or Postgres may go through one of those as a whole.
_LIVES = "NOT s.replaced AND NOT s.delete_time > 0"
_THERE = f"h.status <> {REMOVED} AND {_LIVES}"
"""Of a request: it was neither removed nor deleted with its session."""

SESSION = f"SELECT {rows.SESSION} FROM flowstate.sessions s WHERE {THIS_SESSION}"
SESSION_WITH_HEAD = f"SELECT {rows.SESSION_WITH_HEAD} FROM {SESSIONS} WHERE {THIS_SESSION}"
REQUEST = f"SELECT {rows.REQUEST} FROM {OUTCOMES} WHERE {THIS_REQUEST} AND {_THERE}"
REMOVED_REQUEST = (
    f"SELECT {rows.REQUEST} FROM {OUTCOMES} WHERE {THIS_REQUEST} AND h.status = {REMOVED} AND {_LIVES}"
)
OLDEST_TURNS = (
    f"SELECT {rows.TURN}, (SELECT count(*) FROM flowstate.turns x WHERE x.log = u.log)"
    " FROM flowstate.turns u LEFT JOIN flowstate.requests r ON r.request = u.request"
    f" WHERE u.log = (SELECT s.log FROM flowstate.sessions s WHERE {THIS_SESSION} AND s.log_id = $3)"
    " ORDER BY u.number LIMIT $4"
)
KNOWN_REQUEST_HEAD = f"SELECT {rows.REQUEST_HEAD} FROM {_REQUESTS} WHERE {THIS_REQUEST}"
"""Of a request that is not there any more as well."""
REQUEST_HEAD = f"{KNOWN_REQUEST_HEAD} AND {_THERE}"
WALK = (
    f"SELECT {rows.SESSION_LIFE} FROM {SESSIONS} WHERE {_LIVES}"
    " AND (s.tenant, s.session_id) > ($1, $2) ORDER BY s.tenant, s.session_id LIMIT $3"
)
_RUNNING = f"FROM {HEADS} WHERE h.status = 0 AND h.process = $1"
RUNNING = f"SELECT {rows.RUNNING_REQUEST} {_RUNNING} ORDER BY h.request LIMIT $2"
CANCELLED = f"SELECT {rows.REQUEST_HEAD} {_RUNNING} AND h.cancel_reason IS NOT NULL ORDER BY h.request"
PROCESSES = f"SELECT {rows.PROCESS} FROM flowstate.processes p ORDER BY p.process"

_THIS_LOG = f"SELECT s.log FROM flowstate.sessions s WHERE {THIS_SESSION} AND s.log_id = $3"
NEWEST_TURNS = (
    f"SELECT min(u.number), max(u.number) FROM flowstate.turns u WHERE u.log = ({_THIS_LOG}) AND u.number >= coalesce("
    f"(SELECT number FROM flowstate.turns WHERE log = ({_THIS_LOG}) ORDER BY number DESC LIMIT 1 OFFSET $4 - 1), 0)"
)

TURNS_BEFORE = (
    f"SELECT {rows.TURN} FROM flowstate.turns u LEFT JOIN flowstate.requests r ON r.request = u.request"
    f" WHERE u.log = ({_THIS_LOG}) AND u.number < $4 ORDER BY u.number DESC LIMIT $5"
)
