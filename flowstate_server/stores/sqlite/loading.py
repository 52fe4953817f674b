"""Loading the records that a group needs."""

from __future__ import annotations

import sqlite3

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import StateHead
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.backend import LOAD_LIMIT, Group
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.tables import Loaded, Needs
from flowstate_server.stores.sqlite import rows
from flowstate_server.stores.sqlite.known_rows import KnownRequest, KnownRows
from flowstate_server.stores.tables.numbers import state_key

_SESSION = (
    f"SELECT s.log, h.sequence, h.turns, h.activity_time, {rows.SESSION} FROM sessions s"
    " CROSS JOIN session_heads h ON h.log = s.log WHERE s.tenant = ? AND s.session_id = ? AND s.replaced = 0"
)
_STATE = f"SELECT {rows.STATE} FROM states WHERE kind = ? AND tenant = ? AND id = ? AND flow_kind = ?"
_STATE_HEAD = (
    "SELECT version, incarnation, present FROM states"
    " WHERE kind = ? AND tenant = ? AND id = ? AND flow_kind = ?"
)
_PROCESS = f"SELECT {rows.PROCESS} FROM processes WHERE process = ?"
_KEY = (
    "SELECT fingerprint, reply, expire_time FROM idempotency_keys"
    " WHERE tenant = ? AND principal = ? AND method = ? AND key = ?"
)


class Loader:
    """Loads batch by batch, each record once."""

    def __init__(self, cursor: sqlite3.Cursor, known: KnownRows, time: Micros) -> None:
        self.loaded = Loaded(time)
        self.numbers = rows.Numbers()
        self._cursor = cursor
        self._known = known
        self._asked = Needs()
        self._bytes = 0

    def load(self, group: Group) -> int:
        """Load until the documents exceed the limit; returns how many batches are ready."""
        for position in range(len(group)):
            self._load(group.needs_of(position))
            if self._bytes > LOAD_LIMIT:
                return position + 1
        return len(group)

    def _load(self, needs: Needs) -> None:
        asked = self._asked
        for request in needs.requests - asked.requests:
            self._request(request)
        asked.requests |= needs.requests
        for session in needs.sessions - asked.sessions:
            self._session(session)
        for state in needs.states - asked.states:
            self._state(state)
        asked.states |= needs.states
        for state in needs.state_heads - asked.state_heads - asked.states:
            self._state_head(state)
        asked.state_heads |= needs.state_heads
        if needs.processes - asked.processes:
            self._processes(needs.processes - asked.processes)
            asked.processes |= needs.processes
        if needs.idempotency_keys:
            self._idempotency_keys(needs)

    def _request(self, key: RequestKey) -> None:
        known = self._known.requests.get(key)
        if known is None:
            row = self._cursor.execute(rows.REQUEST_HEAD_BY_KEY, key).fetchone()
            if row is None:
                return
            known = self._known.requests[key] = KnownRequest(row[0], row[1], rows.request_head(row))
        head = known.head
        self.loaded.requests[key] = head
        self.numbers.requests[key] = known.number
        self.numbers.logs[head.session, head.session_log_id] = known.log
        # Its events go to its session's log too.
        if head.session not in self._asked.sessions:
            self._session(head.session)

    def _session(self, key: SessionKey) -> None:
        self._asked.sessions.add(key)
        row = self._known.sessions.get(key)
        if row is None:
            row = self._cursor.execute(_SESSION, key).fetchone()
            if row is None:
                return
            self._known.sessions[key] = row
        record = understood_one(key, row[4:], rows.session_record)
        self.loaded.sessions[key] = record
        self.loaded.session_heads[key] = rows.session_head(key, record.log_id, row[1:4])
        self.numbers.logs[key, record.log_id] = row[0]

    def _state(self, key: ScopeKey) -> None:
        if key not in self._known.states:
            row = self._cursor.execute(_STATE, state_key(key)).fetchone()
            self._known.put_state(key, row)
        row = self._known.states[key]
        if row is not None:
            record = rows.state_record(key, row)
            self.loaded.states[key] = record
            self._bytes += len(record.text)

    def _state_head(self, key: ScopeKey) -> None:
        known = self._known
        if key in known.states:
            row = known.states[key]
        elif key in known.state_heads:
            row = known.state_heads[key]
        else:
            row = self._cursor.execute(_STATE_HEAD, state_key(key)).fetchone()
            known.state_heads[key] = row
        if row is not None:
            version, incarnation, present = row[:3]
            self.loaded.state_heads[key] = StateHead(key, version, incarnation, bool(present))

    def _processes(self, processes: set[str]) -> None:
        for process in processes:
            record = self._known.processes.get(process)
            if record is None:
                row = self._cursor.execute(_PROCESS, (process,)).fetchone()
                if row is None:
                    continue
                record = self._known.processes[process] = rows.process_record(row)
            self.loaded.processes[process] = record

    def _idempotency_keys(self, needs: Needs) -> None:
        for key in needs.idempotency_keys - self._asked.idempotency_keys:
            values = (key.tenant, key.principal, key.method, key.key)
            row = self._cursor.execute(_KEY, values).fetchone()
            if row is not None:
                self.loaded.idempotency_keys[key] = rows.idempotency_record(key, row)
        self._asked.idempotency_keys |= needs.idempotency_keys
