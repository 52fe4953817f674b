"""Loading and locking the records that a group needs, in one statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import decode_key, encoded_bounds
from flowstate_server.model.records import StateRecord
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.backend import LOAD_LIMIT, Conflict, Group
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.tables import Changes, Loaded, Needs, Table
from flowstate_server.stores.postgres import documents as shelf
from flowstate_server.stores.postgres.reads import open_requests
from flowstate_server.stores.postgres.statements import KEYS, TIME, any_of, columns, together, unnested
from flowstate_server.stores.tables import queries, rows
from flowstate_server.stores.tables.numbers import Row, scope_key
from flowstate_server.stores.tables.state_parts import LargeStates

LARGE = 16 * 1024
"""Bytes over which a document is read on its own, once it is known to be within the limit of a group."""

Absent = dict[Table[Any, Any], list[Any]]
"""Keys that were looked for in vain, by table."""


def _unless_large(names: str, text: str, size: str) -> str:
    """Of a table with documents: its size, and the columns ``names`` without ``text`` if that is large."""
    small = f"CASE WHEN octet_length({text}) <= {LARGE} THEN {text} END AS text"
    return f"{size} AS whole_size, {names.replace(text, small)}"


# What to lock is found first, as an array. A row that was changed while its lock was awaited is evaluated once more by
# Postgres, alone, and a join with a subquery or with unnest may lose it then.
_SESSIONS = (
    f"SELECT {rows.SESSION_WITH_HEAD} FROM {queries.SESSIONS} WHERE NOT s.replaced AND s.log = ANY (ARRAY({{logs}}))"
    " ORDER BY s.tenant, s.session_id FOR UPDATE OF s, c"
)
_LOGS = "SELECT x.log FROM {sessions}"
_LOGS_OF_REQUESTS = (
    "SELECT p.log FROM {requests} JOIN flowstate.request_heads q ON q.request = x.request"
    " JOIN flowstate.sessions o ON o.log = q.log"
    " JOIN flowstate.sessions p ON p.tenant = o.tenant AND p.session_id = o.session_id AND NOT p.replaced"
)
_LOCKS = {
    tables.REQUEST_HEADS: (
        f"SELECT {rows.REQUEST_HEAD} FROM {queries.HEADS}"
        " WHERE h.request = ANY (ARRAY(SELECT x.request FROM {found}))"
        " ORDER BY r.tenant, r.request_id FOR UPDATE OF h"
    ),
    tables.STATES: (
        f"SELECT t.state, {_unless_large(rows.KEPT_STATE, 't.text', rows.STATE_SIZE)}"
        " FROM flowstate.states t WHERE t.state = ANY (ARRAY(SELECT x.state FROM {found}))"
        " ORDER BY t.kind, t.tenant, t.id, t.flow_kind FOR UPDATE OF t"
    ),
    tables.PROCESSES: (
        f"SELECT {rows.PROCESS} FROM flowstate.processes p"
        " WHERE p.process = ANY (ARRAY(SELECT x.process FROM {found})) ORDER BY p.process FOR UPDATE OF p"
    ),
    tables.DOCUMENTS: (
        f"SELECT d.document, {_unless_large(rows.DOCUMENT, 'd.text', 'octet_length(d.text)')}"
        " FROM flowstate.documents d WHERE d.document = ANY (ARRAY(SELECT x.document FROM {found}))"
        " ORDER BY d.key FOR UPDATE OF d"
    ),
}
_LARGE: dict[Table[Any, Any], str] = {
    tables.STATES: f"SELECT {rows.STATE} FROM flowstate.states t WHERE t.state = ANY ($1::bigint[])",
    tables.DOCUMENTS: f"SELECT {rows.DOCUMENT} FROM flowstate.documents d WHERE d.document = ANY ($1::bigint[])",
}


# What is not locked by itself, but by something that all who write there lock as well: read once all locks are held,
# by a statement that sees what was committed while they were awaited.
PROTECTED = together(
    (
        (0, shelf.ranges(2, "ASC")),
        (1, shelf.ranges(6, "DESC")),
        (2, open_requests("ANY ($10::bigint[])")),
        (
            3,
            f"SELECT u.log, {rows.TURN} FROM {unnested(11, 'log, number', 'k')}"
            " JOIN flowstate.turns u ON u.log = k.log AND u.number = k.number"
            " LEFT JOIN flowstate.requests r ON r.request = u.request",
        ),
    )
)
_TIME_PART = len(tables.LOCKED)
_load_texts: dict[tuple[Table[Any, Any], ...], str] = {}


class Loader:
    """Loads what a group needs into ``loaded``; ``numbers`` stand for what was found."""

    def __init__(self, connection: Any, latest: Micros, large_states: LargeStates) -> None:
        self.loaded = Loaded(latest)
        self.numbers = rows.Numbers()
        self._connection = connection
        self._needs = Needs()
        self._states = self.loaded.of(tables.STATES)
        self._large_states = large_states
        self._sizes: dict[Any, int] = {}
        self._large: dict[Table[Any, Any], dict[Any, int]] = {table: {} for table in _LARGE}

    async def load(self, group: Group) -> int:
        """Lock and load; returns how many batches are ready, those whose documents are within the limit."""
        needs = self._needs = group.needs
        text, values = load_query(needs)
        take = (self._session, self._request, self._state, self._process, self._document, self._time)
        for part, row in await self._connection.fetch(text, *values):
            take[part](row)
        if needs.ranges or needs.open_requests or needs.of(tables.TURNS):
            await self._load_protected(needs)
        if any(self._large.values()):
            return await self._load_large(group)
        return len(group)

    def absent(self, group: Group, changes: Changes) -> Absent:
        """What the group has looked for in vain, as far as its changes depend on that.

        The statement that loads may have waited for locks, and what was committed meanwhile it does not see. Whatever
        the group inserts meets a unique key then; all else has to be looked for again.
        """
        looked: Absent = {}
        for table in tables.LOCKED if group.refused else (tables.STATES, tables.DOCUMENTS):
            missing = _needed(self._needs, table) - self._found(table)
            if missing:
                made: Table[Any, Any] = tables.REQUESTS if table is tables.REQUEST_HEADS else table
                missing -= {made.key_of(record) for record in changes.new_of(made)}
                if missing:
                    looked[table] = list(missing)
        return looked

    async def look_again(self, absent: Absent) -> None:
        """
        Raises:
            Conflict: what the group looked for in vain has been committed since.
        """
        values = [array for table, keys in absent.items() for array in KEYS[table].values(keys)]
        [(appeared,)] = await self._connection.fetch(f"SELECT {any_of(absent, 1)}", *values)
        if appeared:
            raise Conflict

    def _found(self, table: Table[Any, Any]) -> Any:
        if table is tables.STATES:
            return self.numbers.states.keys()
        if table is tables.DOCUMENTS:
            return self.numbers.documents.keys()
        return self.loaded.of(table).keys()

    def _session(self, row: Row) -> None:
        log, session, head = rows.session_with_head(row)
        self.loaded.of(tables.SESSIONS)[session.key] = session
        self.loaded.of(tables.SESSION_HEADS)[session.key] = head
        self.numbers.logs[session.key, session.log_id] = log

    def _request(self, row: Row) -> None:
        head = understood_one(rows.request_key(row), row, rows.request_head)
        self.loaded.of(tables.REQUEST_HEADS)[head.key] = head
        self._number(head, row)

    def _number(self, head: Any, row: Row) -> None:
        self.numbers.requests[head.key] = row[0]
        self.numbers.logs[head.session, head.session_log_id] = row[1]

    def _state(self, row: Row) -> None:
        needed = self._needs.keys
        values = row[2:]
        key = scope_key(values[:4])
        self.numbers.states[key] = row[0]
        if key in needed.get(tables.STATE_HEADS, ()):
            self.loaded.of(tables.STATE_HEADS)[key] = rows.state_head(values[: rows.STATE_HEAD_WIDTH])
        if key in needed.get(tables.STATES, ()):
            self._sizes[key] = row[1]
            in_parts = rows.kept_parts(values)[0] is not None
            known = (
                self._large_states.find(understood_one(key, values, rows.kept_state)) if in_parts else None
            )
            if known is not None:
                self._states[key] = known
            elif in_parts or row[1] > LARGE:
                self._large[tables.STATES][key] = row[0]
            else:
                self._states[key] = understood_one(key, values, rows.state_record)

    def _process(self, row: Row) -> None:
        record = rows.process_record(row)
        self.loaded.of(tables.PROCESSES)[record.process] = record

    def _document(self, row: Row) -> None:
        key = decode_key(row[2])
        self.numbers.documents[key] = row[0]
        self._sizes[key] = row[1]
        if row[1] > LARGE:
            self._large[tables.DOCUMENTS][key] = row[0]
        else:
            self.loaded.of(tables.DOCUMENTS)[key] = rows.document(row[2:])

    def _time(self, row: Row) -> None:
        self.loaded.time = max(self.loaded.time, row[0])

    async def _load_protected(self, needs: Needs) -> None:
        loaded, logs = self.loaded, self.numbers.logs
        ranges = list(needs.ranges)
        loaded.ranges = {which: [] for which in ranges}
        loaded.open_requests = {session: [] for session in needs.open_requests}
        turns = {(logs[key[:2]], key.number): key for key in needs.of(tables.TURNS) if key[:2] in logs}
        bounds: tuple[list[Row], list[Row]] = ([], [])
        for number, which in enumerate(ranges):
            bounds[which.descending].append((number, *encoded_bounds(which), which.limit))
        sessions = loaded.of(tables.SESSIONS)
        values = [
            loaded.time,
            *columns(bounds[False], 4),
            *columns(bounds[True], 4),
            [logs[key, sessions[key].log_id] for key in needs.open_requests if key in sessions],
            *columns(list(turns), 2),
        ]
        for part, row in await self._connection.fetch(PROTECTED, *values):
            if part < 2:
                document = understood_one(row[2], row[2:], rows.document)
                self.numbers.documents[document.key] = row[1]
                loaded.ranges[ranges[row[0]]].append(document)
            elif part == 2:
                head = understood_one(rows.request_key(row), row, rows.request_head)
                loaded.open_requests[head.session].append(head)
                self._number(head, row)
            else:
                key = turns[row[0], row[1]]
                loaded.of(tables.TURNS)[key] = rows.turn_record(row[1:], key.session, key.log_id)

    async def _load_large(self, group: Group) -> int:
        """Read the large documents of the batches that are ready."""
        asked: set[Any] = set()
        size = ready = 0
        while ready < len(group) and size <= LOAD_LIMIT:
            needs = group.needs_of(ready)
            keys = (needs.of(tables.STATES) | needs.of(tables.DOCUMENTS)) - asked
            size += sum(self._sizes.get(key, 0) for key in keys)
            asked |= keys
            ready += 1
        record_of: dict[Table[Any, Any], Callable[[Row], Any]] = {
            tables.STATES: self._state_record,
            tables.DOCUMENTS: rows.document,
        }
        for table, query in _LARGE.items():
            wanted = [number for key, number in self._large[table].items() if key in asked]
            if wanted:
                for row in await self._connection.fetch(query, wanted):
                    record = understood_one(row[0], tuple(row), record_of[table])
                    self.loaded.of(table)[record.key] = record
        return ready

    def _state_record(self, row: Row) -> StateRecord:
        return self._large_states.loaded(rows.state_record(row))


def _needed(needs: Needs, table: Table[Any, Any]) -> set[Any]:
    keys = needs.of(table)
    return keys | needs.of(tables.STATE_HEADS) if table is tables.STATES else keys


def load_query(needs: Needs) -> tuple[str, list[Any]]:
    """The statement that loads ``needs``, and its values."""
    wanted = [(table, keys) for table in tables.LOCKED if (keys := _needed(needs, table))]
    values = [array for table, keys in wanted for array in KEYS[table].values(keys)]
    chosen = tuple([table for table, _ in wanted])
    text = _load_texts.get(chosen)
    if text is None:
        text = _load_texts[chosen] = _compose(chosen)
    return text, values


def _compose(chosen: tuple[Table[Any, Any], ...]) -> str:
    queries: list[tuple[int, str]] = []
    logs: list[str] = []
    first = 1
    for table in chosen:
        found = KEYS[table].found(first)
        first += KEYS[table].width
        if table is tables.SESSIONS:
            logs.append(_LOGS.format(sessions=found))
            continue
        if table is tables.REQUEST_HEADS:
            logs.append(_LOGS_OF_REQUESTS.format(requests=found))
        queries.append((tables.LOCKED.index(table), _LOCKS[table].format(found=found)))
    if logs:
        queries.insert(0, (0, _SESSIONS.format(logs=" UNION ALL ".join(logs))))
    return together([*queries, (_TIME_PART, TIME)])
