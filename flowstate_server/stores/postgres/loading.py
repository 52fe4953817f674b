"""Loading and locking the records that a group needs, in one statement."""

from __future__ import annotations

from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import StateHead
from flowstate_server.model.scopes import ScopeKey
from flowstate_server.stores.contract.backend import LOAD_LIMIT, Conflict, Group
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.tables import Loaded, Needs
from flowstate_server.stores.postgres import rows
from flowstate_server.stores.postgres.statements import arrays, columns, together
from flowstate_server.stores.tables.numbers import Row, scope_key, state_key

LARGE = 16 * 1024
"""Bytes over which a document is read on its own, once it is known to be within the limit of a group."""

TIME = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS time"

# What to lock is found first, as an array. A row that was changed while its lock was awaited is evaluated once more by
# Postgres, alone, and a join with a subquery or with unnest may lose it then.
_SESSIONS = (
    f"SELECT s.log, {rows.SESSION_HEAD}, {rows.SESSION} FROM flowstate.sessions s"
    " JOIN flowstate.session_heads h ON h.log = s.log WHERE NOT s.replaced AND s.log = ANY (ARRAY"
    "(SELECT x.log FROM {sessions} AS k(tenant, session_id) JOIN flowstate.sessions x"
    " ON x.tenant = k.tenant AND x.session_id = k.session_id AND NOT x.replaced"
    " UNION ALL SELECT p.log FROM {requests} AS k(tenant, request_id) JOIN flowstate.requests r"
    " ON r.tenant = k.tenant AND r.request_id = k.request_id"
    " JOIN flowstate.request_heads q ON q.request = r.request JOIN flowstate.sessions o ON o.log = q.log"
    " JOIN flowstate.sessions p ON p.tenant = o.tenant AND p.session_id = o.session_id AND NOT p.replaced))"
    " ORDER BY s.tenant, s.session_id FOR UPDATE OF s, h"
)
_REQUESTS = (
    f"SELECT {rows.REQUEST_HEAD} FROM flowstate.request_heads h JOIN flowstate.requests r ON r.request = h.request"
    " JOIN flowstate.sessions s ON s.log = h.log WHERE h.request = ANY (ARRAY"
    "(SELECT x.request FROM {requests} AS k(tenant, request_id) JOIN flowstate.requests x"
    " ON x.tenant = k.tenant AND x.request_id = k.request_id))"
    " ORDER BY r.tenant, r.request_id FOR UPDATE OF h"
)
_STATES = (
    f"SELECT t.state, octet_length(t.text) AS size, {rows.STATE_KEY}, t.version, t.incarnation, t.present,"
    f" t.create_time, t.update_time, CASE WHEN octet_length(t.text) <= {LARGE} THEN t.text END AS text"
    " FROM flowstate.states t WHERE t.state = ANY (ARRAY"
    "(SELECT x.state FROM {states} AS k(kind, tenant, id, flow_kind) JOIN flowstate.states x"
    " ON x.kind = k.kind AND x.tenant = k.tenant AND x.id = k.id AND x.flow_kind = k.flow_kind))"
    " ORDER BY t.kind, t.tenant, t.id, t.flow_kind FOR UPDATE OF t"
)
_PROCESSES = (
    f"SELECT {rows.PROCESS} FROM flowstate.processes WHERE process = ANY ({{processes}})"
    " ORDER BY process FOR UPDATE"
)
_KEYS = (
    f"SELECT i.number, {rows.IDEMPOTENCY} FROM flowstate.idempotency_keys i WHERE i.number = ANY (ARRAY"
    "(SELECT x.number FROM {keys} AS k(tenant, principal, method, key) JOIN flowstate.idempotency_keys x"
    " ON x.tenant = k.tenant AND x.principal = k.principal AND x.method = k.method AND x.key = k.key))"
    " ORDER BY i.tenant, i.principal, i.method, i.key FOR UPDATE OF i"
)
# What was committed while the locks were awaited is not in the snapshot. Whatever is created meets a unique key then;
# what was only looked for, by a batch that read a state or was refused, is looked for again once the locks are held.
_APPEARED = (
    "SELECT EXISTS (SELECT 1 FROM {states} AS k(kind, tenant, id, flow_kind) JOIN flowstate.states t"
    " ON t.kind = k.kind AND t.tenant = k.tenant AND t.id = k.id AND t.flow_kind = k.flow_kind)"
    " OR EXISTS (SELECT 1 FROM {sessions} AS k(tenant, session_id) JOIN flowstate.sessions s"
    " ON s.tenant = k.tenant AND s.session_id = k.session_id AND NOT s.replaced)"
    " OR EXISTS (SELECT 1 FROM {requests} AS k(tenant, request_id) JOIN flowstate.requests r"
    " ON r.tenant = k.tenant AND r.request_id = k.request_id)"
    " OR EXISTS (SELECT 1 FROM flowstate.processes WHERE process = ANY ({processes}))"
    " OR EXISTS (SELECT 1 FROM {keys} AS k(tenant, principal, method, key) JOIN flowstate.idempotency_keys i"
    " ON i.tenant = k.tenant AND i.principal = k.principal AND i.method = k.method AND i.key = k.key)"
).format(
    states=arrays(1, ("smallint", "text", "text", "text")),
    sessions=arrays(5, ("text",) * 2),
    requests=arrays(7, ("text",) * 2),
    processes="$9::text[]",
    keys=arrays(10, ("text",) * 4),
)
_DOCUMENTS = f"SELECT {rows.STATE} FROM flowstate.states t WHERE t.state = ANY ($1::bigint[])"

_SESSION, _REQUEST, _STATE, _PROCESS, _KEY, _TIME = range(6)
_TEXTS: dict[tuple[bool, ...], str] = {}


class Loader:
    """Loads what a group needs into ``loaded``; ``numbers`` stand for what was found."""

    def __init__(self, connection: Any, latest: Micros) -> None:
        self.loaded = Loaded(latest)
        self.numbers = rows.Numbers()
        self._connection = connection
        self._sizes: dict[ScopeKey, int] = {}
        self._large: set[ScopeKey] = set()

    async def load(self, group: Group) -> int:
        """Lock and load; returns how many batches are ready, those whose documents are within the limit."""
        needs = group.needs
        text, values = load_query(needs)
        for part, row in await self._connection.fetch(text, *values):
            if part == _SESSION:
                self._session(row)
            elif part == _REQUEST:
                self._request(row)
            elif part == _STATE:
                self._state(row, needs)
            elif part == _PROCESS:
                record = rows.process_record(row)
                self.loaded.processes[record.process] = record
            elif part == _KEY:
                key = rows.idempotency_record(row[1:])
                self.loaded.idempotency_keys[key.key] = key
                self.numbers.idempotency_keys[key.key] = row[0]
            else:
                self.loaded.time = max(self.loaded.time, row[0])
        return await self._documents(group) if self._large else len(group)

    async def look_again(self, group: Group) -> None:
        """
        Raises:
            Conflict: what the group looked for in vain has been committed since.
        """
        loaded, needs = self.loaded, group.needs
        waited = loaded.sessions or loaded.requests or self.numbers.states or loaded.processes
        if not waited and not loaded.idempotency_keys:
            return
        absent = Needs(states=(needs.states | needs.state_heads) - self.numbers.states.keys())
        if group.refused:
            absent.sessions = needs.sessions - loaded.sessions.keys()
            absent.requests = needs.requests - loaded.requests.keys()
            absent.processes = needs.processes - loaded.processes.keys()
            absent.idempotency_keys = needs.idempotency_keys - loaded.idempotency_keys.keys()
        if absent != Needs():
            [(appeared,)] = await self._connection.fetch(_APPEARED, *_columns_of(absent))
            if appeared:
                raise Conflict

    def _session(self, row: Row) -> None:
        log, sequence, turns, activity_time, *record = row
        values = tuple(record)
        session = understood_one(rows.session_key(values), values, rows.session_record)
        self.loaded.sessions[session.key] = session
        self.loaded.session_heads[session.key] = rows.session_head(
            session.key, session.log_id, (sequence, turns, activity_time)
        )
        self.numbers.logs[session.key, session.log_id] = log

    def _request(self, row: Row) -> None:
        head = rows.request_head(row)
        self.loaded.requests[head.key] = head
        self.numbers.requests[head.key] = row[0]
        self.numbers.logs[head.session, head.session_log_id] = row[1]

    def _state(self, row: Row, needs: Needs) -> None:
        number, size, *values = row
        key = scope_key(tuple(values[:4]))
        self.numbers.states[key] = number
        if key in needs.state_heads:
            version, incarnation, present = values[4:7]
            self.loaded.state_heads[key] = StateHead(key, version, incarnation, present)
        if key in needs.states:
            self._sizes[key] = size
            if size > LARGE:
                self._large.add(key)
            else:
                self.loaded.states[key] = rows.state_record(tuple(values))

    async def _documents(self, group: Group) -> int:
        """Read the large documents of the batches that are ready."""
        asked: set[ScopeKey] = set()
        size = ready = 0
        while ready < len(group) and size <= LOAD_LIMIT:
            keys = group.needs_of(ready).states - asked
            size += sum(self._sizes.get(key, 0) for key in keys)
            asked |= keys
            ready += 1
        wanted = [self.numbers.states[key] for key in asked & self._large]
        for row in await self._connection.fetch(_DOCUMENTS, wanted):
            record = rows.state_record(tuple(row))
            self.loaded.states[record.key] = record
        return ready


def _columns_of(absent: Needs) -> list[Any]:
    return [
        *columns([state_key(key) for key in absent.states], 4),
        *columns(list(absent.sessions), 2),
        *columns(list(absent.requests), 2),
        list(absent.processes),
        *columns([rows.idempotency_key(key) for key in absent.idempotency_keys], 4),
    ]


def load_query(needs: Needs) -> tuple[str, list[Any]]:
    """The statement that loads ``needs``, and its values."""
    heads = needs.state_heads - needs.states
    chosen = (
        bool(needs.sessions),
        bool(needs.requests),
        bool(needs.states or heads),
        bool(needs.processes),
        bool(needs.idempotency_keys),
    )
    values: list[Any] = []
    if chosen[_SESSION] or chosen[_REQUEST]:
        values += columns(list(needs.sessions), 2)
        values += columns(list(needs.requests), 2)
    if chosen[_STATE]:
        values += columns([state_key(key) for key in (*needs.states, *heads)], 4)
    if chosen[_PROCESS]:
        values.append(list(needs.processes))
    if chosen[_KEY]:
        values += columns([rows.idempotency_key(key) for key in needs.idempotency_keys], 4)
    text = _TEXTS.get(chosen)
    if text is None:
        text = _TEXTS[chosen] = _compose(*chosen)
    return text, values


def _compose(sessions: bool, requests: bool, states: bool, processes: bool, keys: bool) -> str:
    queries: list[tuple[int, str]] = []
    first = 1
    if sessions or requests:
        names = {"sessions": arrays(first, ("text",) * 2), "requests": arrays(first + 2, ("text",) * 2)}
        queries.append((_SESSION, _SESSIONS.format(**names)))
        if requests:
            queries.append((_REQUEST, _REQUESTS.format(**names)))
        first += 4
    if states:
        types = ("smallint", "text", "text", "text")
        queries.append((_STATE, _STATES.format(states=arrays(first, types))))
        first += 4
    if processes:
        queries.append((_PROCESS, _PROCESSES.format(processes=f"${first}::text[]")))
        first += 1
    if keys:
        queries.append((_KEY, _KEYS.format(keys=arrays(first, ("text",) * 4))))
    return together([*queries, (_TIME, TIME)])
