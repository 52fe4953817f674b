"""The records that a group works on: what was loaded, what its batches made of it, and what the batch being decided
changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from flowstate_server.errors import (
    RequestNotFoundError,
    RequestTerminalError,
    SessionNotFoundError,
    VersionMismatchError,
)
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey
from flowstate_server.model.events import Event, EventRecord
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import (
    RequestHead,
    RequestRecord,
    RequestStatus,
    SessionHead,
    SessionRecord,
    StateHead,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.model.tombstones import floor_in
from flowstate_server.stores.commit.asked import Asked
from flowstate_server.stores.commit.working_documents import WorkingDocuments
from flowstate_server.stores.commit.working_table import WorkingTable, records_of
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Changes, Cut, Loaded, Table
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import AtVersion, Precondition

Key = TypeVar("Key")
Record = TypeVar("Record")


class WorkingSet:
    """Works batches one after another: each ends with :meth:`keep` or :meth:`drop`."""

    def __init__(self, loaded: Loaded, asked: Asked | None = None) -> None:
        self.time = loaded.time
        self._asked = asked
        self._loaded = loaded
        self._touched: list[WorkingTable[Any, Any]] = []
        self._tables: dict[Table[Any, Any], WorkingTable[Any, Any]] = {}
        self.sessions = self.of(tables.SESSIONS)
        self.session_heads = self.of(tables.SESSION_HEADS)
        self.requests = self._table(
            tables.REQUEST_HEADS, records_of(tables.REQUEST_HEADS, loaded, loaded.open_requests.values())
        )
        self.created = self.of(tables.REQUESTS)
        self.outcomes = self.of(tables.OUTCOMES)
        self.turns = self.of(tables.TURNS)
        self.states = self.of(tables.STATES)
        self.processes = self.of(tables.PROCESSES)
        self.documents = WorkingDocuments(loaded, self._touched)
        self._tables[tables.DOCUMENTS] = self.documents
        self._state_heads: dict[ScopeKey, StateHead] = loaded.records.get(tables.STATE_HEADS, {})
        self.events: list[EventRecord] = []
        self._kept_events = 0
        self.cuts: list[Cut] = []
        self._kept_cuts = 0

    def of(self, table: Table[Key, Record]) -> WorkingTable[Key, Record]:
        return self._tables.get(table) or self._table(table, self._loaded.records.get(table, {}))

    def _table(self, table: Table[Key, Record], records: dict[Key, Record]) -> WorkingTable[Key, Record]:
        working = self._tables[table] = WorkingTable(records, self._touched)
        return working

    def keep(self) -> None:
        for table in self._touched:
            table.keep()
        self._touched.clear()
        self._kept_events = len(self.events)
        self._kept_cuts = len(self.cuts)

    def drop(self) -> None:
        for table in self._touched:
            table.drop()
        self._touched.clear()
        del self.events[self._kept_events :]
        del self.cuts[self._kept_cuts :]

    def state(self, key: ScopeKey) -> StateRecord:
        return self.states.get(key) or StateRecord(key)

    def require(self, keys: Iterable[tuple[Table[Any, Any], Any]]) -> None:
        """What a write needs that could not be known before others were loaded. Heads of states are of ``STATE_HEADS``.

        Raises:
            NotAsked: some of it was not asked for. It will have been when the batch is decided again.
        """
        if self._asked is None:
            return
        for table, key in keys:
            worked = tables.STATES if table is tables.STATE_HEADS else table
            if key not in self.of(worked).put_so_far():
                self._asked.require(table, key)
        self._asked.check()

    def floor(self, key: DocumentKey) -> int:
        """
        Raises:
            NotAsked: see :meth:`require`.
        """
        self.require([(tables.DOCUMENTS, key)])
        return floor_in(self.documents.find(key))

    def state_head(self, key: ScopeKey) -> StateRecord | StateHead:
        return self.states.get(key) or self._state_heads.get(key) or StateHead(key)

    def open_requests(self, session: SessionKey) -> list[RequestHead]:
        """All open requests of a session of which they are needed, the oldest first."""
        found = {head.key: head for head in self._loaded.open_requests[session]}
        put = self.requests.put_so_far()
        found |= {key: head for key, head in put.items() if head is not None and head.session == session}
        return [head for head in found.values() if head.status.open]

    def live_session(self, key: SessionKey) -> SessionRecord:
        session = self.sessions.get(key)
        if session is None or session.deleted:
            raise SessionNotFoundError(key.session_id)
        return session

    def session_head(self, session: SessionRecord) -> SessionHead:
        head = self.session_heads.get(session.key)
        if head is None:
            raise LookupError("the store has loaded a session without its head")
        return head

    def note_activity(self, session: SessionRecord) -> None:
        """Something has happened in the session, whether its log tells of it or not."""
        head = self.session_head(session)
        if head.activity_time < self.time:
            moved = moved_session(head, head.sequence, head.turns, self.time)
            self.session_heads.put(session.key, moved)

    def session_of(self, head: RequestHead) -> SessionRecord:
        """The session that the request was made in, if it lives and was not made anew since."""
        session = self.live_session(head.session)
        if session.log_id != head.session_log_id:
            raise SessionNotFoundError(head.session.session_id)
        return session

    def is_there(self, head: RequestHead) -> bool:
        """Whether the request was neither removed nor deleted with its session."""
        session = self.sessions.get(head.session)
        return (
            session is not None
            and session.log_id == head.session_log_id
            and not session.deleted
            and head.status is not RequestStatus.REMOVED
        )

    def known_request(self, key: RequestKey) -> RequestHead:
        head = self.requests.get(key)
        if head is None or not self.is_there(head):
            raise RequestNotFoundError(key.request_id)
        return head

    def open_request(self, key: RequestKey) -> RequestHead:
        head = self.known_request(key)
        if head.status.ended:
            raise RequestTerminalError(key.request_id)
        return head

    def log_events(self, session: SessionRecord, events: Iterable[Event]) -> None:
        """Append to the session's log only."""
        self._append(session, events, request_id="", sequence=0)

    def log_request_events(self, head: RequestHead, events: tuple[Event, ...]) -> RequestHead:
        """Append to the log of the request and of its session; gives back the request's new head."""
        if not events:
            return head
        self._append(self.session_of(head), events, request_id=head.key.request_id, sequence=head.sequence)
        head = moved(head, head.sequence + len(events))
        self.requests.put(head.key, head)
        return head

    def _append(
        self, session: SessionRecord, events: Iterable[Event], *, request_id: str, sequence: int
    ) -> None:
        head = self.session_head(session)
        position = head.sequence
        for event in events:
            _check_text(event)
            position += 1
            if request_id:
                sequence += 1
            self.events.append(
                EventRecord(event, session.key, session.log_id, position, request_id, sequence, self.time)
            )
        if position > head.sequence:
            self.session_heads.put(session.key, moved_session(head, position, head.turns, self.time))

    def changes(self) -> Changes:
        """What the kept batches have changed."""
        changes = Changes(self.time, events=self.events, cuts=self.cuts, topics=list(self._topics()))
        for table, working in self._tables.items():
            for key, record in working.changed().items():
                if record is None:
                    if self._is_known(table, key):
                        changes.removed.setdefault(table, []).append(key)
                elif table is tables.REQUEST_HEADS and self._is_created(key):
                    continue
                elif table is tables.REQUESTS:
                    self._created_request(changes, record)
                else:
                    part = changes.changed if key in working.loaded else changes.new
                    part.setdefault(table, []).append(record)
        return changes

    def _is_known(self, table: Table[Any, Any], key: Any) -> bool:
        return key in self._tables[table].loaded or (table is tables.STATES and key in self._state_heads)

    def _is_created(self, key: Any) -> bool:
        return key in self.created.changed() and key not in self.requests.loaded

    def _created_request(self, changes: Changes, record: RequestRecord) -> None:
        if self._is_created(record.key):
            head = self.requests.get(record.key) or record.head
            changes.new.setdefault(tables.REQUESTS, []).append(replace(record, head=head))

    def _topics(self) -> Iterator[Topic]:
        topics: dict[Topic, None] = {}
        for request, head in self.requests.changed().items():
            topics[Topic(TopicKind.REQUEST, *request)] = None
            if head is not None and head.cancel_requested and head.process:
                before = self.requests.loaded.get(request)
                if before is None or not before.cancel_requested:
                    topics[Topic(TopicKind.PROCESS, NO_TENANT, head.process)] = None
        for session in self.session_heads.changed():
            topics[Topic(TopicKind.SESSION, *session)] = None
        for session, record in self.sessions.changed().items():
            if record is not None and record.deleted:
                topics[Topic(TopicKind.SESSION, *session)] = None
                topics[Topic(TopicKind.SESSION_DOCUMENTS, *session)] = None
        for key in self.states.changed():
            # A session's state may change without an event; whoever watches what the session shows wants to know.
            if key.kind is not ScopeKind.REQUEST:
                topics[Topic(_STATE_TOPICS[key.kind], key.tenant, key.id)] = None
        topics.update(dict.fromkeys(self.documents.topics()))
        for process, row in self.processes.changed().items():
            if row is not None and row.fenced:
                topics[Topic(TopicKind.PROCESS, NO_TENANT, process)] = None
        return iter(topics)


_STATE_TOPICS = {kind: TopicKind(kind.value) for kind in (ScopeKind.SESSION, ScopeKind.USER, ScopeKind.ORG)}


def moved(
    head: RequestHead,
    sequence: int,
    status: RequestStatus | None = None,
    end_time: Micros = Micros(0),
) -> RequestHead:
    """``head``, of an open request, at ``sequence``. Every batch of a run does this, and ``replace`` takes four times
    as long."""
    return RequestHead(
        head.key,
        head.session,
        head.session_log_id,
        head.log_id,
        head.user_id,
        head.fingerprint,
        head.process,
        status or head.status,
        head.create_time,
        head.cancel_requested,
        head.cancel_reason,
        head.attempt,
        sequence,
        end_time,
        head.gate,
        head.start_time,
    )


def moved_session(head: SessionHead, sequence: int, turns: int, activity_time: Micros) -> SessionHead:
    return SessionHead(head.key, head.log_id, sequence, turns, activity_time, head.floor)


def _check_text(event: Event) -> None:
    """Text that can't be written as UTF-8 must refuse its batch here, not fail the group in the adapter."""
    for name in event.block_path:
        name.encode()
    if event.item is not None:
        (event.item.item_id + event.item.role + event.item.name).encode()


def check_precondition(
    what: str,
    precondition: Precondition,
    version: int,
    *,
    exists: bool,
    incarnation: str = "",
    called: str = "",
) -> None:
    """
    Raises:
        VersionMismatchError: it does not hold of the record of scope ``what``, ``called`` so if it is not its state.
    """
    if isinstance(precondition, AtVersion):
        if version != precondition.version:
            raise VersionMismatchError(what, str(precondition.version), version, called)
    elif exists != precondition.exists:
        raise VersionMismatchError(what, "exists" if precondition.exists else "absent", version, called)
    # A tombstone has the incarnation of what was deleted, which is to meet nobody who has seen that.
    if precondition.incarnation and not (exists and incarnation == precondition.incarnation):
        raise VersionMismatchError(what, "another incarnation", version, called)
