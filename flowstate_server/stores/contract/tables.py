"""What a store keeps, by table: the loops over tables of commits, copies, comparisons and exports all begin here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange, encode_key
from flowstate_server.model.events import EventKey, EventRecord
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import (
    Outcome,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateHead,
    StateRecord,
    TurnKey,
    TurnRecord,
)
from flowstate_server.model.removals import EmptiedRequest, ItemKey, ItemRemoval
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.contract.watch import Topic

Key = TypeVar("Key")
Record = TypeVar("Record")


class Table(Generic[Key, Record]):
    """Records of one kind by key: the classes of both, and the key of a record. ``place`` sorts keys as exports order
    them."""

    def __init__(
        self,
        name: str,
        key: type[Key],
        record: type[Record],
        *,
        key_of: Callable[[Record], Key] = attrgetter("key"),
        place: Callable[[Key], Any] = lambda key: key,
    ) -> None:
        self.name = name
        self.key = key
        self.record = record
        self.key_of = key_of
        self.place = place

    def __repr__(self) -> str:
        return f"<table {self.name}>"

    def __deepcopy__(self, memo: object) -> Table[Key, Record]:
        return self


_KINDS = {kind: number for number, kind in enumerate(ScopeKind)}


def _scope_place(key: ScopeKey) -> tuple[int, str, str, str]:
    return _KINDS[key.kind], key.tenant, key.id, key.flow_kind


SESSIONS = Table("sessions", SessionKey, SessionRecord)
SESSION_HEADS = Table("session_heads", SessionKey, SessionHead)
REQUESTS = Table("requests", RequestKey, RequestRecord)
"""Whole requests. They are inserted with their heads; what changes later is in the two tables below."""
REQUEST_HEADS = Table("request_heads", RequestKey, RequestHead)
"""Loaded and updated. The head of a new request is in its record in :data:`REQUESTS`."""
OUTCOMES = Table("outcomes", RequestKey, Outcome)
"""Inserted when a request ends."""
TURNS = Table("turns", TurnKey, TurnRecord)
STATES = Table("states", ScopeKey, StateRecord, place=_scope_place)
STATE_HEADS = Table("state_heads", ScopeKey, StateHead)
"""States without their documents: only ever loaded."""
PROCESSES = Table("processes", str, ProcessRecord, key_of=attrgetter("process"))
DOCUMENTS = Table("documents", DocumentKey, Document, place=encode_key)
EVENTS = Table("events", EventKey, EventRecord)
"""Appended, in :attr:`Changes.events`. Keep them by session, ``session_log_id`` and ``session_sequence``: ``EventKey``
names no incarnation, and is for exports alone, which give those of the present one."""
ITEM_REMOVALS = Table("item_removals", ItemKey, ItemRemoval)
"""Only ever new: content and name of an item go, and its deltas; events that tell of it get other payloads."""
EMPTIED_REQUESTS = Table("emptied_requests", RequestKey, EmptiedRequest)
"""Only ever new: input and output of a request go, its failure is another, and so are payloads of its events."""

LOCKED = (SESSIONS, REQUEST_HEADS, STATES, PROCESSES, DOCUMENTS)
"""What is locked, table by table in this order and by key (code point order) within each, so that no two transactions
lock in opposite orders. The head of a session goes with the session, a state's head with the state."""

EXPORTED = (PROCESSES, SESSIONS, SESSION_HEADS, REQUESTS, EVENTS, TURNS, STATES, DOCUMENTS)
"""What exports offer, and copies take over in this order."""


class Needs:
    """The records that batches read. Keys are of the tables in :data:`LOCKED`, of ``STATE_HEADS`` and, when copies are
    imported, items removed or history, of ``TURNS``; never of any other.

    ``SESSIONS`` are needed with their heads, and so is the session of each of the ``REQUEST_HEADS`` that is found: a
    write may name a request alone. ``STATE_HEADS`` are needed without their documents. ``ranges`` are documents that
    are not known by name, ``open_requests`` sessions of which all open requests are needed; both are read once
    everything else is locked. Whoever needs one needs a record besides that all who write there lock: the owning
    session, or a document that counts.
    """

    __slots__ = ("keys", "open_requests", "ranges")

    def __init__(self) -> None:
        self.keys: defaultdict[Table[Any, Any], set[Any]] = defaultdict(set)
        self.ranges: set[DocumentRange] = set()
        self.open_requests: set[SessionKey] = set()

    def add(self, table: Table[Key, Any], key: Key) -> None:
        self.keys[table].add(key)

    def update(self, table: Table[Key, Any], keys: Iterable[Key]) -> None:
        for key in keys:
            self.add(table, key)

    def of(self, table: Table[Key, Any]) -> set[Key]:
        """The keys needed of ``table``; not to be changed."""
        keys: set[Key] = self.keys.get(table, _NOTHING)
        return keys

    def merge(self, other: Needs) -> None:
        for table, keys in other.keys.items():
            self.keys[table].update(keys)
        self.ranges |= other.ranges
        self.open_requests |= other.open_requests


_NOTHING: set[Any] = set()


@dataclass(slots=True)
class Loaded:
    """The records found, by table and key; what is not in the store is not in here. ``time`` is the store's.

    Documents are in :data:`DOCUMENTS` whatever their ``expire_time``, tombstones too; ``ranges`` hold those that are
    there at ``time``. ``open_requests`` are those of the session's present incarnation, the oldest first.
    """

    time: Micros
    records: dict[Table[Any, Any], dict[Any, Any]] = field(default_factory=dict)
    ranges: dict[DocumentRange, list[Document]] = field(default_factory=dict)
    open_requests: dict[SessionKey, list[RequestHead]] = field(default_factory=dict)

    def of(self, table: Table[Key, Record]) -> dict[Key, Record]:
        """The records of ``table``, to be read or filled."""
        return self.records.setdefault(table, {})


@frozen
class Cut:
    """The oldest part of a log that goes: of ``requests`` everything but their heads, which are in
    :attr:`Changes.changed` as ``removed``; of events outside of requests, and their items, those from beyond ``after``
    up to ``place``."""

    session: SessionKey
    log_id: str
    after: int
    place: int
    requests: tuple[RequestKey, ...]


@dataclass(slots=True)
class Changes:
    """What a group changes, by table. New records are plain INSERTs and known ones UPDATEs, never upserts: a key that
    another process inserted meanwhile must fail as :class:`~flowstate_server.stores.contract.backend.Conflict`, and the
    group is loaded and decided again.

    Each key is there once, at its last value. Events are in the order of their ``session_sequence``; the row of an item
    is that of the ``item.done`` event which carries it. A session whose ``log_id`` is another than the one loaded was
    made anew: its head, and whatever follows, is that of the new incarnation.
    """

    time: Micros
    new: dict[Table[Any, Any], list[Any]] = field(default_factory=dict)
    changed: dict[Table[Any, Any], list[Any]] = field(default_factory=dict)
    removed: dict[Table[Any, Any], list[Any]] = field(default_factory=dict)
    events: list[EventRecord] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    topics: list[Topic] = field(default_factory=list)

    def new_of(self, table: Table[Any, Record]) -> list[Record]:
        return self.new.get(table, [])

    def changed_of(self, table: Table[Any, Record]) -> list[Record]:
        return self.changed.get(table, [])

    def put_of(self, table: Table[Any, Record]) -> list[Record]:
        """New and changed records alike."""
        return self.new.get(table, []) + self.changed.get(table, [])

    def removed_of(self, table: Table[Key, Any]) -> list[Key]:
        return self.removed.get(table, [])

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.new or self.changed or self.removed or self.events or self.cuts or self.topics)
