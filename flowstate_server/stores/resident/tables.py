"""The tables and their indexes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from heapq import heappush
from itertools import islice
from operator import attrgetter
from threading import Lock
from typing import Any, Self, TypeVar, cast

from flowstate_server.model.clock import ForwardClock
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateRecord,
    TurnKey,
    TurnRecord,
    whole_request,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.reads import Place, SessionFilter, SessionPosition
from flowstate_server.stores.contract.removals import rewritten_events, without_content
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EMPTIED_REQUESTS,
    OUTCOMES,
    PROCESSES,
    REQUEST_HEADS,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Changes,
    Table,
)
from flowstate_server.stores.resident.copies import OWN
from flowstate_server.stores.resident.damage import Damage, Incarnation
from flowstate_server.stores.resident.deleted import Deleted
from flowstate_server.stores.resident.documents import DocumentTable
from flowstate_server.stores.resident.event_logs import EventLogs
from flowstate_server.stores.resident.request_lists import RequestLists
from flowstate_server.stores.resident.session_lists import SessionLists, fits

Key = TypeVar("Key")
Record = TypeVar("Record")

_PLAIN: tuple[Table[Any, Any], ...] = (SESSION_HEADS, STATES, PROCESSES)
"""Tables without an index besides the key."""

_sequence = attrgetter("sequence")
_session_sequence = attrgetter("session_sequence")


class Tables(EventLogs):
    """Everything that is stored. :meth:`apply` and :meth:`remove_events` write, all else reads.

    Where threads share it, one alone writes, and it holds the tables meanwhile (``with tables:``); the others hold them
    while they read.
    """

    def __init__(self, damage: Damage | None = None) -> None:
        super().__init__(damage or Damage())
        self.sessions: dict[SessionKey, SessionRecord] = {}
        self.session_heads: dict[SessionKey, SessionHead] = {}
        self.requests: dict[RequestKey, RequestRecord] = {}
        self.states: dict[ScopeKey, StateRecord] = {}
        self.processes: dict[str, ProcessRecord] = {}
        self.turns: dict[TurnKey, TurnRecord] = {}
        self.documents = DocumentTable()
        self.rows: Mapping[Table[Any, Any], dict[Any, Any]] = {
            SESSIONS: self.sessions,
            SESSION_HEADS: self.session_heads,
            REQUESTS: self.requests,
            TURNS: self.turns,
            STATES: self.states,
            PROCESSES: self.processes,
        }
        self._open: dict[Incarnation, dict[RequestKey, None]] = {}
        self.running: dict[str, dict[RequestKey, None]] = {}
        self._session_lists = SessionLists()
        self._turn_numbers: dict[Incarnation, list[int]] = {}
        self.request_lists = RequestLists()
        self.deleted = Deleted()
        self._lock = Lock()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def find(self, table: Table[Key, Record], key: Key) -> Record | None:
        """The record, which shares nothing that can be changed with what is stored.

        Raises:
            DamagedRecord: it can't be understood.
        """
        record: Any = self.documents.get(cast(Any, key)) if table is DOCUMENTS else self.rows[table].get(key)
        if record is None:
            self.damage.check(table, key)
            return None
        own = OWN.get(table)
        return cast("Record", record if own is None else own(record))

    def found(self, table: Table[Key, Record], keys: Iterable[Key]) -> dict[Key, Record]:
        """Those of the records that are there."""
        return {key: record for key in keys if (record := self.find(table, key)) is not None} if keys else {}

    def find_request(self, key: RequestKey, *, removed: bool = False) -> RequestRecord | None:
        """As :meth:`find`, of one whose session lives, as it was then; whether it was removed is asked for."""
        request = self.find(REQUESTS, key)
        if request is None or (request.head.status is RequestStatus.REMOVED) is not removed:
            return None
        session = self.sessions.get(request.head.session)
        lives = session is not None and session.log_id == request.head.session_log_id and not session.deleted
        return request if lives else None

    def is_present(self, session: SessionKey, log_id: str) -> bool:
        """Whether this is the session's present incarnation."""
        record = self.sessions.get(session)
        return record is not None and record.log_id == log_id

    def apply(self, changes: Changes) -> None:
        for event in changes.events:
            self._append(event)
        for cut in changes.cuts:
            self._cut_off(cut)
        for session in changes.put_of(SESSIONS):
            self._put_session(session)
        for request in [*self.changed_requests(changes)]:
            self._put_request(request)
        for incarnation, places in rewritten_events(changes).items():
            self._rewrite(self.rewritten(incarnation, places))
        for turn in changes.put_of(TURNS):
            self._put_turn(turn)
        for document in changes.put_of(DOCUMENTS):
            self.documents.put(document)
        for table in _PLAIN:
            rows, own = self.rows[table], OWN.get(table)
            for record in changes.put_of(table):
                rows[table.key_of(record)] = record if own is None else own(record)
        for table, keys in changes.removed.items():
            for key in keys:
                self._remove(table, key)

    def changed_requests(self, changes: Changes) -> Iterator[RequestRecord]:
        """The whole records of new and changed requests, as the changes leave them."""
        if not (REQUESTS in changes.new or REQUEST_HEADS in changes.changed or OUTCOMES in changes.new):
            yield from self._emptied_requests(changes)
            return
        new = {record.key: record for record in changes.new_of(REQUESTS)}
        heads = {head.key: head for head in changes.changed_of(REQUEST_HEADS)}
        outcomes = {outcome.key: outcome for outcome in changes.new_of(OUTCOMES)}
        for key in new | heads | outcomes:
            record = new.get(key) or self.requests[key]
            head = heads.get(key, record.head)
            if head.status is RequestStatus.REMOVED:
                yield replace(record, head=head, input=b"", output=None, failure=None, reason="")
            else:
                yield whole_request(record, head, outcomes.get(key))
        yield from self._emptied_requests(changes)

    def _emptied_requests(self, changes: Changes) -> Iterator[RequestRecord]:
        return (without_content(self.requests[one.key], one) for one in changes.new_of(EMPTIED_REQUESTS))

    def _remove(self, table: Table[Any, Any], key: Any) -> None:
        if table is DOCUMENTS:
            self.documents.remove(key)
            return
        record = self.rows[table].pop(key, None)
        if record is not None and table is TURNS:
            numbers = self._turn_numbers[key.session, key.log_id]
            numbers.remove(key.number)
            if not numbers:
                del self._turn_numbers[key.session, key.log_id]
        elif record is not None and table is REQUESTS:
            _discard(self._logs, (record.head.session, record.head.session_log_id), key)

    def _put_session(self, session: SessionRecord) -> None:
        key = session.key
        before = self.sessions.get(key)
        self._session_lists.put(session, before)
        self.sessions[key] = OWN[SESSIONS](session)
        if before is not None and before.log_id != session.log_id:
            self.deleted.replaced(before, session.create_time)
        if session.deleted:
            self.deleted.note(session)

    def _put_request(self, request: RequestRecord) -> None:
        head = request.head
        known = self.requests.get(head.key)
        self.requests[head.key] = request
        incarnation = (head.session, head.session_log_id)
        if head.status is RequestStatus.REMOVED:
            _discard(self._logs, incarnation, head.key)
            self._request_events.pop(head.key, None)
            self._with_transient.discard(head.key)
            self.deleted.note_request(head)
            if known is not None and known.head.status is not RequestStatus.REMOVED:
                self.request_lists.remove(head)
        else:
            self._logs.setdefault(incarnation, {})[head.key] = None
            if known is None:
                self.request_lists.add(head)
        runs = head.status is RequestStatus.IN_PROGRESS
        if known is not None:
            if not head.status.open:
                _discard(self._open, incarnation, head.key)
            if not runs or head.process != known.head.process:
                _discard(self.running, known.head.process, head.key)
        if runs:
            self.running.setdefault(head.process, {})[head.key] = None
        if head.status.open:
            self._open.setdefault(incarnation, {})[head.key] = None
        elif (known is None or known.head.status.open) and head.key in self._with_transient:
            place = (head.end_time, *incarnation, head.key.request_id, 0)
            heappush(self._sweepable, place)

    def _put_turn(self, turn: TurnRecord) -> None:
        if turn.key not in self.turns:
            insort(self._turn_numbers.setdefault((turn.key.session, turn.key.log_id), []), turn.key.number)
        self.turns[turn.key] = turn

    def listed(self, which: SessionFilter, after: SessionPosition | None) -> Iterator[SessionRecord]:
        """Live sessions by (create time, id) descending."""
        for key in self._session_lists.keys(which, after):
            session = self.sessions[key]
            if fits(which, session, self.session_heads[key]):
                yield session

    def walked(self, after: Place | None) -> Iterator[tuple[Place, SessionRecord]]:
        """Live sessions, each with its place, from beyond ``after``."""
        return ((place, self.sessions[key]) for place, key in self._session_lists.walked(after))

    def open_requests(self, session: SessionKey) -> list[RequestHead]:
        """Those of the session's present incarnation, the oldest first."""
        record = self.sessions.get(session)
        keys = () if record is None else self._open.get((session, record.log_id), ())
        return [self.requests[key].head for key in keys]

    def requests_of(self, incarnation: Incarnation, limit: int) -> list[RequestKey]:
        """Up to ``limit`` requests that were not removed."""
        return [*islice((key for key in self._logs.get(incarnation, ()) if key in self.requests), limit)]

    def turns_of(self, incarnation: Incarnation, limit: int) -> list[TurnKey]:
        """The first ``limit`` turns."""
        return [TurnKey(*incarnation, number) for number in self._turn_numbers.get(incarnation, ())[:limit]]

    def count_turns(self, incarnation: Incarnation) -> int:
        return len(self._turn_numbers.get(incarnation, ()))

    def incarnations(self) -> set[Incarnation]:
        """All of which there is something besides the session."""
        return {*self._logs, *self._session_events, *self._turn_numbers}

    def turn_items(self, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
        numbers = self._turn_numbers.get((session, log_id), [])
        if not newest:
            return []
        numbers = numbers[-newest:]
        self.damage.check_turns((session, log_id), numbers[0] if numbers else 0)
        items: list[ItemRecord] = []
        for number in numbers:
            events = self._turn_events(self.turns[TurnKey(session, log_id, number)])
            kept = [record for record in items_of(events, number) if not record.item.removed]
            items += sorted(kept, key=lambda record: record.item.index)
        return items

    def turns_between(self, session: SessionKey, log_id: str, first: int, last: int) -> list[int]:
        """The numbers of the turns from ``first`` to ``last`` that there are."""
        numbers = self._turn_numbers.get((session, log_id), [])
        return numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]

    def newest_turns(self, session: SessionKey, log_id: str, newest: int) -> list[int]:
        return self._turn_numbers.get((session, log_id), [])[-newest:] if newest > 0 else []

    def open_everywhere(self) -> Iterator[RequestHead]:
        """All open requests, in any order."""
        return (self.requests[key].head for keys in self._open.values() for key in keys)

    def _turn_events(self, turn: TurnRecord) -> Iterator[EventRecord]:
        session, log_id, _ = turn.key
        if turn.request_id:
            yield from self.events_after(RequestKey(session.tenant, turn.request_id), 0)
            return
        for event in self.session_events_after(session, log_id, turn.first - 1):
            if event.session_sequence > turn.last:
                return
            yield event

    def done_processes(self, limit: int) -> list[str]:
        """Up to ``limit`` fenced processes that run no request."""
        over = (
            row.process for row in self.processes.values() if row.fenced and not self.running.get(row.process)
        )
        return list(islice(over, limit))


class ResidentPort:
    """A port over the tables, with the store's time."""

    def __init__(self, tables: Tables, clock: ForwardClock) -> None:
        self._tables = tables
        self._clock = clock


def items_of(events: Iterable[EventRecord], turn: int = 0) -> Iterator[ItemRecord]:
    for record in events:
        item = record.event.item
        if item is not None and record.event.type is EventType.ITEM_DONE:
            yield ItemRecord(
                item,
                session=record.session,
                session_log_id=record.session_log_id,
                request_id=record.request_id,
                session_sequence=record.session_sequence,
                create_time=record.time,
                turn=turn,
            )


def _discard(index: dict[Key, dict[RequestKey, None]], key: Key, request: RequestKey) -> None:
    members = index.get(key)
    if members is not None:
        members.pop(request, None)
        if not members:
            del index[key]
