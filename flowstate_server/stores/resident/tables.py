"""The tables and their indexes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heappop, heappush, merge
from itertools import islice
from operator import attrgetter
from threading import Lock
from typing import Any, Self, TypeVar, cast

from flowstate_server.model.clock import ForwardClock, Micros
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
from flowstate_server.stores.contract.reads import SessionFilter, SessionPosition
from flowstate_server.stores.contract.removals import Places, rewritten_events, without_content
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
from flowstate_server.stores.resident.damage import Damage, Incarnation, up_to_damage
from flowstate_server.stores.resident.documents import DocumentTable
from flowstate_server.stores.resident.removals import Rewritten, rewritten
from flowstate_server.stores.resident.request_lists import RequestLists

Key = TypeVar("Key")
Record = TypeVar("Record")

_PLAIN: tuple[Table[Any, Any], ...] = (SESSION_HEADS, STATES, PROCESSES)
"""Tables without an index besides the key."""

_sequence = attrgetter("sequence")
_session_sequence = attrgetter("session_sequence")


class Tables:
    """Everything that is stored. :meth:`apply` and :meth:`remove_events` write, all else reads.

    Where threads share it, one alone writes, and it holds the tables meanwhile (``with tables:``); the others hold them
    while they read.
    """

    def __init__(self, damage: Damage | None = None) -> None:
        self.damage = damage or Damage()
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
        self._listing: dict[tuple[str, str | None], list[tuple[Micros, str]]] = {}
        self._turn_numbers: dict[Incarnation, list[int]] = {}
        self._request_events: dict[RequestKey, list[EventRecord]] = {}
        self._session_events: dict[Incarnation, dict[int, EventRecord]] = {}
        self._logs: dict[Incarnation, dict[RequestKey, None]] = {}
        self._with_transient: set[RequestKey] = set()
        self.request_lists = RequestLists()
        self._sweepable: list[tuple[Micros, SessionKey, str, str, int]] = []
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

    def is_present(self, session: SessionKey, log_id: str) -> bool:
        """Whether this is the session's present incarnation."""
        record = self.sessions.get(session)
        return record is not None and record.log_id == log_id

    def apply(self, changes: Changes) -> None:
        for event in changes.events:
            self._append(event)
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
            yield whole_request(record, heads.get(key, record.head), outcomes.get(key))
        yield from self._emptied_requests(changes)

    def _emptied_requests(self, changes: Changes) -> Iterator[RequestRecord]:
        return (without_content(self.requests[one.key]) for one in changes.new_of(EMPTIED_REQUESTS))

    def _remove(self, table: Table[Any, Any], key: Any) -> None:
        if table is DOCUMENTS:
            self.documents.remove(key)
        elif self.rows[table].pop(key, None) is not None and table is TURNS:
            self._turn_numbers[key.session, key.log_id].remove(key.number)

    def _put_session(self, session: SessionRecord) -> None:
        key = session.key
        before = self.sessions.get(key)
        if before is not None and not before.deleted:
            for listing in self._listings(before):
                del listing[bisect_left(listing, (before.create_time, key.session_id))]
        if not session.deleted:
            for listing in self._listings(session):
                insort(listing, (session.create_time, key.session_id))
        self.sessions[key] = OWN[SESSIONS](session)

    def _listings(self, session: SessionRecord) -> Iterator[list[tuple[Micros, str]]]:
        yield self._listing.setdefault((session.key.tenant, None), [])
        yield self._listing.setdefault((session.key.tenant, session.user_id), [])

    def _put_request(self, request: RequestRecord) -> None:
        head = request.head
        known = self.requests.get(head.key)
        self.requests[head.key] = request
        runs = head.status is RequestStatus.IN_PROGRESS
        if known is None:
            self.request_lists.add(head)
        else:
            if not head.status.open:
                _discard(self._open, (head.session, head.session_log_id), head.key)
            if not runs or head.process != known.head.process:
                _discard(self.running, known.head.process, head.key)
        if runs:
            self.running.setdefault(head.process, {})[head.key] = None
        if head.status.open:
            self._open.setdefault((head.session, head.session_log_id), {})[head.key] = None
        elif (known is None or known.head.status.open) and head.key in self._with_transient:
            place = (head.end_time, head.session, head.session_log_id, head.key.request_id, 0)
            heappush(self._sweepable, place)

    def _put_turn(self, turn: TurnRecord) -> None:
        if turn.key not in self.turns:
            insort(self._turn_numbers.setdefault((turn.key.session, turn.key.log_id), []), turn.key.number)
        self.turns[turn.key] = turn

    def _append(self, record: EventRecord) -> None:
        incarnation = (record.session, record.session_log_id)
        if not record.request_id:
            self._session_events.setdefault(incarnation, {})[record.session_sequence] = record
            if record.event.transient:
                heappush(self._sweepable, (record.time, *incarnation, "", record.session_sequence))
            return
        key = RequestKey(record.session.tenant, record.request_id)
        if record.event.transient:
            self._with_transient.add(key)
        self._request_events.setdefault(key, []).append(record)
        self._logs.setdefault(incarnation, {})[key] = None

    def rewritten(self, incarnation: Incarnation, places: Places) -> Rewritten:
        """The events at these places, and what becomes of each."""
        return rewritten(self.session_log(*incarnation, min(places) - 1), places)

    def _rewrite(self, events: Rewritten) -> None:
        for _, after in events:
            if after is not None and after.request_id:
                log = self._request_events[RequestKey(after.session.tenant, after.request_id)]
                log[bisect_left(log, after.sequence, key=_sequence)] = after
            elif after is not None:
                self._session_events[after.session, after.session_log_id][after.session_sequence] = after
        self.remove_events([before for before, after in events if after is None])

    def listed(self, which: SessionFilter, after: SessionPosition | None) -> Iterator[SessionRecord]:
        """Live sessions by (create time, id) descending."""
        listing = self._listing.get((which.tenant, which.user_id), [])
        end = len(listing) if after is None else bisect_left(listing, (after.create_time, after.session_id))
        for position in range(end - 1, -1, -1):
            session = self.sessions[SessionKey(which.tenant, listing[position][1])]
            if (
                (which.flow_kind is None or session.flow_kind == which.flow_kind)
                and (which.org_id is None or session.org_id == which.org_id)
                and (which.include_ephemeral or not session.ephemeral)
            ):
                yield session

    def open_requests(self, session: SessionKey) -> list[RequestHead]:
        """Those of the session's present incarnation, the oldest first."""
        record = self.sessions.get(session)
        keys = () if record is None else self._open.get((session, record.log_id), ())
        return [self.requests[key].head for key in keys]

    def events_after(self, request: RequestKey, after: int) -> Iterator[EventRecord]:
        self.damage.check_events(request)
        events = self._request_events.get(request, [])
        return (
            events[position] for position in range(bisect_right(events, after, key=_sequence), len(events))
        )

    def session_events_after(self, session: SessionKey, log_id: str, after: int) -> Iterator[EventRecord]:
        """The events, up to one that is damaged: whoever comes to it gets ``DamagedRecord``."""
        found = self.session_log(session, log_id, after)
        damaged = self.damage.lines.get((session, log_id))
        return found if damaged is None else up_to_damage(found, damaged, session, after)

    def session_log(
        self, session: SessionKey, log_id: str, beyond: int, *, newest_first: bool = False
    ) -> Iterator[EventRecord]:
        """The events that are understood, from beyond a place, in either order."""
        outside = [*self._session_events.get((session, log_id), {}).values()]
        logs = [outside, *(self._request_events[key] for key in self._logs.get((session, log_id), ()))]
        key = _session_sequence
        rests: Iterable[Iterable[EventRecord]]
        if newest_first:
            rests = [reversed(log[: bisect_left(log, beyond, key=key)]) for log in logs if log]
        else:
            # Of a session's many logs most have ended long before the place where a tail stands.
            live = [log for log in logs if log and key(log[-1]) > beyond]
            rests = [islice(log, bisect_right(log, beyond, key=key), None) for log in live]
        return merge(*rests, key=key, reverse=newest_first)

    def request_log(self, request: RequestKey) -> Sequence[EventRecord]:
        """The events of a request that are understood."""
        return self._request_events.get(request, ())

    def turns_between(self, session: SessionKey, log_id: str, first: int, last: int) -> list[int]:
        """The numbers of the turns from ``first`` to ``last`` that there are."""
        numbers = self._turn_numbers.get((session, log_id), [])
        return numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]

    def newest_turns(self, session: SessionKey, log_id: str, newest: int) -> list[int]:
        return self._turn_numbers.get((session, log_id), [])[-newest:] if newest > 0 else []

    def open_everywhere(self) -> Iterator[RequestHead]:
        """All open requests, in any order."""
        return (self.requests[key].head for keys in self._open.values() for key in keys)

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

    def _turn_events(self, turn: TurnRecord) -> Iterator[EventRecord]:
        session, log_id, _ = turn.key
        if turn.request_id:
            yield from self.events_after(RequestKey(session.tenant, turn.request_id), 0)
            return
        for event in self.session_events_after(session, log_id, turn.first - 1):
            if event.session_sequence > turn.last:
                return
            yield event

    def sweepable(self, before: Micros, limit: int) -> list[EventRecord]:
        """Up to ``limit`` transient events whose retention is over."""
        due = []
        found: list[EventRecord] = []
        while len(found) < limit and self._sweepable and self._sweepable[0][0] <= before:
            place = heappop(self._sweepable)
            events = [event for event in self._events_at(*place) if event.event.transient]
            if events:
                due.append(place)
                found += events
        for place in due:
            heappush(self._sweepable, place)
        return found[:limit]

    def _events_at(
        self, _: Micros, session: SessionKey, log_id: str, request_id: str, sequence: int
    ) -> Iterable[EventRecord]:
        if request_id:
            return self._request_events[RequestKey(session.tenant, request_id)]
        event = self._session_events[session, log_id].get(sequence)
        return () if event is None else (event,)

    def remove_events(self, events: Iterable[EventRecord]) -> None:
        gone: dict[RequestKey, set[int]] = {}
        for event in events:
            if event.request_id:
                gone.setdefault(RequestKey(event.session.tenant, event.request_id), set()).add(event.sequence)
            else:
                del self._session_events[event.session, event.session_log_id][event.session_sequence]
        for key, sequences in gone.items():
            kept = self._request_events[key]
            self._request_events[key] = [event for event in kept if event.sequence not in sequences]

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
