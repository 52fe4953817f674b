"""Rows that the last groups have read or written, so that the next one need not read them again.

They hold as long as no other connection writes; SQLite counts that in ``data_version``, which every group asks for in
its transaction. Reading a row costs little by itself, but each statement hands the interpreter's lock to the event
loop, and waits to get it back.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from flowstate_server.model.records import ProcessRecord, RequestHead
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey, request_scope
from flowstate_server.stores.contract.tables import Changes
from flowstate_server.stores.sqlite import rows
from flowstate_server.stores.tables.numbers import Row

MOST_ROWS = 10_000
MOST_BYTES = 8 * 1024 * 1024


class KnownRequest(NamedTuple):
    """A request's head, and the integers that stand for it and for its session's log."""

    number: int
    log: int
    head: RequestHead


class KnownRows:
    """Rows, or records in which nothing can be changed: what a caller was handed does not change what is known.
    ``None`` stands for a row that is not there.

    Sweeps delete none of them but processes that are fenced, which makes no difference to a group.
    """

    def __init__(self) -> None:
        self.sessions: dict[SessionKey, Row] = {}
        self.requests: dict[RequestKey, KnownRequest] = {}
        self.states: dict[ScopeKey, Row | None] = {}
        self.state_heads: dict[ScopeKey, Row | None] = {}
        self.processes: dict[str, ProcessRecord] = {}
        self._bytes = 0
        self._data_version = -1
        self._settled = False

    def begin(self, cursor: sqlite3.Cursor) -> bool:
        """Forget everything if it may not hold any more; the first thing in a group's transaction.

        Tells whether another connection may have written.
        """
        (version,) = cursor.execute("PRAGMA data_version").fetchone()
        others = not self._settled or version != self._data_version
        if others or self._full():
            self._clear()
        self._data_version = version
        self._settled = False
        return others

    def settle(self) -> None:
        """The group is committed. One that is not, or not surely, makes the next one begin with nothing."""
        self._settled = True

    def _full(self) -> bool:
        states = len(self.states) + len(self.state_heads)
        return self._bytes > MOST_BYTES or len(self.sessions) + len(self.requests) + states > MOST_ROWS

    def _clear(self) -> None:
        self.sessions.clear()
        self.requests.clear()
        self.states.clear()
        self.state_heads.clear()
        self.processes.clear()
        self._bytes = 0

    def put_state(self, key: ScopeKey, row: Row | None) -> None:
        self._forget_state(key)
        self.states[key] = row
        self._bytes += _size(row)

    def _forget_state(self, key: ScopeKey) -> None:
        self.state_heads.pop(key, None)
        self._bytes -= _size(self.states.pop(key, None))

    def learn(self, changes: Changes, numbers: rows.Numbers) -> None:
        """What the group has written."""
        for session in changes.changed_sessions:
            self.sessions.pop(session.key, None)
        for head in changes.changed_session_heads:
            known = self.sessions.get(head.key)
            if known is not None:
                self.sessions[head.key] = rows.moved_session(known, head)
        for state in (*changes.new_states, *changes.changed_states):
            self.put_state(state.key, rows.state_values(state))
        for key in changes.removed_states:
            self.put_state(key, None)
        for created in changes.new_requests:
            self.put_state(request_scope(created.key), None)
            self._put_request(created.head, numbers)
        for request in changes.changed_requests:
            self._put_request(request, numbers)
        for process in (*changes.new_processes, *changes.changed_processes):
            self.processes[process.process] = process

    def _put_request(self, head: RequestHead, numbers: rows.Numbers) -> None:
        if head.status.ended:
            self.requests.pop(head.key, None)
            self._forget_state(request_scope(head.key))
        else:
            log = numbers.logs[head.session, head.session_log_id]
            self.requests[head.key] = KnownRequest(numbers.requests[head.key], log, head)


def _size(state: Row | None) -> int:
    return 0 if state is None else len(state[3])
