"""What an adapter implements below the group committer: load records, write records.

The committer collects waiting batches into a :class:`Group`. The adapter runs it in one transaction under its write
lock: ``load`` what the group needs, call :meth:`Group.decide` (pure, in memory), write the :class:`Changes`, commit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import (
    Failure,
    IdempotencyKey,
    IdempotencyRecord,
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionHead,
    SessionRecord,
    StateHead,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.watch import Topic


@dataclass(slots=True)
class Needs:
    """The records that batches read: load them in this order, each set by key (binary collation), so that no two
    transactions lock them in opposite orders.

    ``sessions`` are needed with their heads, and so is the session of each of the ``requests`` that is found: a write
    may name a request alone. ``state_heads`` are needed without their documents.
    """

    sessions: set[SessionKey] = field(default_factory=set)
    requests: set[RequestKey] = field(default_factory=set)
    states: set[ScopeKey] = field(default_factory=set)
    state_heads: set[ScopeKey] = field(default_factory=set)
    processes: set[str] = field(default_factory=set)
    idempotency_keys: set[IdempotencyKey] = field(default_factory=set)


@dataclass(slots=True)
class Loaded:
    """The records found, by key; what is not in the store is not in here. ``time`` is the store's."""

    time: Micros
    sessions: dict[SessionKey, SessionRecord] = field(default_factory=dict)
    session_heads: dict[SessionKey, SessionHead] = field(default_factory=dict)
    requests: dict[RequestKey, RequestHead] = field(default_factory=dict)
    states: dict[ScopeKey, StateRecord] = field(default_factory=dict)
    state_heads: dict[ScopeKey, StateHead] = field(default_factory=dict)
    processes: dict[str, ProcessRecord] = field(default_factory=dict)
    idempotency_keys: dict[IdempotencyKey, IdempotencyRecord] = field(default_factory=dict)


@frozen
class Outcome:
    """A finished request's outcome, kept with its record."""

    request: RequestKey
    output: bytes | None
    failure: Failure | None


@dataclass(slots=True)
class Changes:
    """What a group changes. New records are plain INSERTs and known ones UPDATEs, never upserts: a key that another
    process inserted meanwhile must fail as :class:`Conflict`, and the group is loaded and decided again.

    Each key is there once, at its last value: a request that a group creates and finishes is in ``new_requests``
    alone, with its outcome; ``outcomes`` are of requests known before. Events are in the order of their
    ``session_sequence``; the row of an item is that of the ``item.done`` event which carries it. ``removed_states``
    are request scopes that ended. Idempotency keys in ``replaced_keys`` take the place of expired ones.
    """

    time: Micros
    new_sessions: list[SessionRecord] = field(default_factory=list)
    changed_sessions: list[SessionRecord] = field(default_factory=list)
    new_session_heads: list[SessionHead] = field(default_factory=list)
    changed_session_heads: list[SessionHead] = field(default_factory=list)
    new_requests: list[RequestRecord] = field(default_factory=list)
    changed_requests: list[RequestHead] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    new_states: list[StateRecord] = field(default_factory=list)
    changed_states: list[StateRecord] = field(default_factory=list)
    removed_states: list[ScopeKey] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    new_processes: list[ProcessRecord] = field(default_factory=list)
    changed_processes: list[ProcessRecord] = field(default_factory=list)
    new_keys: list[IdempotencyRecord] = field(default_factory=list)
    replaced_keys: list[IdempotencyRecord] = field(default_factory=list)
    topics: list[Topic] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(isinstance(value := getattr(self, part.name), list) and value for part in fields(self))


class Conflict(Exception):
    """Another process wrote a record first (unique key, serialization, deadlock): nothing was written, decide again."""


class Group(ABC):
    """Batches that are committed together. Made by the committer, used by an adapter's :meth:`GroupStorage.run`."""

    @property
    @abstractmethod
    def needs(self) -> Needs:
        """What all of its batches need."""

    @abstractmethod
    def needs_of(self, position: int) -> Needs:
        """What the batch at ``position`` needs; positions count from 0 to ``len(group) - 1``."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def decide(self, loaded: Loaded, ready: int | None = None) -> Changes:
        """Work the first ``ready`` batches (all if ``None``) through ``loaded``; the others wait for the next group.

        Pure and synchronous; it may be called from another thread, and again after a :class:`Conflict`. An adapter
        that finds documents of over :data:`LOAD_LIMIT` bytes needed stops loading after the batch that went over and
        passes how many batches are ready, at least one.
        """

    @property
    @abstractmethod
    def refused(self) -> bool:
        """Whether :meth:`decide` has refused a batch.

        Batches that are not refused write what they looked for in vain, and meet another process's key. One that is
        refused writes nothing: an adapter that may have waited for locks with what it read before has to look for it
        again, and to raise :class:`Conflict` if it is there by now.
        """


LOAD_LIMIT = 2 * 1024 * 1024
"""Bytes of documents after which an adapter closes a group."""


class GroupStorage(ABC):
    """An adapter's half of a commit."""

    @abstractmethod
    async def run(self, group: Group) -> None:
        """In one durable transaction under the write lock: load, ``group.decide``, write. Returns after the commit.

        Raises:
            Conflict: another process was first; nothing was written.
            StoreUnavailableError: nothing was written. Writers that can't be told wait and try again.
            UnclearCommitError: whether anything was written can't be learnt.
            Exception: anything else means that nothing was written; the group is replayed one batch at a time.
        """
