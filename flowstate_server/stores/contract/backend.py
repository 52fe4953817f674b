"""What an adapter gives: four small ports, opened and closed together. ``stores.store.Store`` is built on them.

A port's methods are called on one event loop, only while the backend is open.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import ClassVar, TypeVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.contract.lists import Lists
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSessions,
    OldestTurns,
    Place,
    Projection,
    SessionFilter,
    SessionPosition,
    SessionWalk,
)
from flowstate_server.stores.contract.tables import Changes, Loaded, Needs, Table
from flowstate_server.stores.contract.watch import Topic, WatchHub

Key = TypeVar("Key")
Record = TypeVar("Record")


MAX_DOCUMENT_BYTES = 1024 * 1024
"""Bytes of documents that one read gives unless told otherwise."""


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

        Pure and synchronous, and it never raises; it may be called from another thread, and again after a
        :class:`Conflict`. An adapter that finds states and documents of over :data:`LOAD_LIMIT` bytes needed stops
        loading after the batch that went over and passes how many batches are ready, at least one.
        """

    @property
    @abstractmethod
    def writes(self) -> int:
        """How many writes its batches have together."""

    @property
    @abstractmethod
    def refused(self) -> int:
        """How many batches :meth:`decide` has refused.

        Batches that are not refused write what they looked for in vain, states and documents apart, and meet another
        process's key. One that is refused writes nothing: an adapter that may have waited for locks with what it read
        before has to look for it again, and to raise :class:`Conflict` if it is there by now.
        """


LOAD_LIMIT = 2 * 1024 * 1024
"""Bytes after which an adapter closes a group: those of the texts of the states and documents that it needs by key.
Ranges may be counted or not, they have a ``limit``; every other record is small."""


class GroupStorage(ABC):
    """An adapter's half of a commit: load records, write records."""

    @abstractmethod
    async def run(self, group: Group) -> Iterable[Topic]:
        """In one durable transaction under the write lock: load, ``group.decide``, write.

        Returns after the commit, with its topics, for the watches of this process. ``changes.empty`` means that nobody
        changed anything: commit nothing.

        Raises:
            Conflict: another process was first; nothing was written.
            StoreUnavailableError: nothing was written. Writers that can't be told wait and try again.
            UnclearCommitError: whether anything was written can't be learnt.
            Exception: anything else means that nothing was written; the group is replayed one batch at a time.
        """


class Reads(Lists):
    """Typed reads, all of which the store offers as its own. A driver's exception never leaves one raw."""

    @abstractmethod
    async def time(self) -> Micros:
        """The store's time, the one clock that leases, retention and expiry are judged by."""

    @abstractmethod
    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        """The session, also a deleted one's tombstone; ``None`` for an id never seen."""

    @abstractmethod
    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> ListedSessions:
        """Live sessions by (create time, id) descending, from beyond ``after``; at most ``limit``."""

    @abstractmethod
    async def count_sessions(self, which: SessionFilter) -> int:
        """How many sessions all pages of a list have together. Takes time that grows with their number."""

    @abstractmethod
    async def walk_sessions(self, *, after: Place | None, limit: int) -> SessionWalk:
        """Up to ``limit`` live sessions of all tenants, from beyond a place that an earlier call gave (``None``: from
        the start). One that lives during a whole walk is met once, in any order."""

    @abstractmethod
    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        """The request, input and outcome included; ``None`` for one that was never made or was removed, or whose
        session, in the incarnation it was made in, does not live."""

    @abstractmethod
    async def get_removed_request(self, key: RequestKey) -> RequestRecord | None:
        """What is known of a request that was removed from a session which lives on; ``None`` for any other."""

    @abstractmethod
    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        """The records of all ``keys`` from one consistent read; a record that was never written has version 0."""

    @abstractmethod
    async def load_documents(self, keys: Iterable[DocumentKey]) -> Mapping[DocumentKey, Document]:
        """Those of the documents that are there, from one consistent read; no tombstones, nothing expired."""

    @abstractmethod
    async def read_documents(
        self, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        """The documents of a range in its order: at most its ``limit``, and those before their texts exceed
        ``max_bytes``, but at least one if there is any."""

    @abstractmethod
    async def read_events(self, log: LogKey, *, after: int, limit: int, max_bytes: int) -> EventPage | None:
        """Events of the log with a sequence (of a session's log: ``session_sequence``) over ``after``.

        The page ends at ``limit`` events or once their payloads and items exceed ``max_bytes``, but has at least one
        event if there is any. ``None`` for an unknown session, and for a request that :meth:`get_request` does not
        give; the log of a session is that of its present incarnation, which has ended if it is deleted.
        """

    @abstractmethod
    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        """The items of the ``newest`` turns but for removed ones, turn by turn, by index within each. Costs the same
        however long the session is."""

    @abstractmethod
    async def read_oldest_turns(self, session: SessionKey, log_id: str, *, limit: int) -> OldestTurns:
        """The first ``limit`` turns of a session's incarnation, in order."""

    @abstractmethod
    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        """States, documents, session head and open requests from one consistent read; ``None`` unless the session
        lives."""

    @abstractmethod
    async def read_processes(self) -> Sequence[ProcessRecord]:
        """Every process row."""

    @abstractmethod
    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        """Requests in progress that ``process`` runs, in any order, inputs left empty."""

    @abstractmethod
    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        """Requests in progress that ``process`` runs and that were asked to cancel."""


class Sweeps(ABC):
    """Bounded range deletes for housekeeping; each returns how many rows went, 0 when done."""

    @abstractmethod
    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        """Delete up to ``limit`` transient events of requests that ended over ``retention`` ago (outside a request:
        of events written that long ago)."""

    @abstractmethod
    async def sweep_documents(self, *, limit: int) -> int:
        """Delete up to ``limit`` expired documents, of all kinds, and tombstones whose time is over."""

    @abstractmethod
    async def sweep_processes(self, *, limit: int) -> int:
        """Delete up to ``limit`` fenced process rows that run no request in progress; the last process of a suspended
        one may go."""

    @abstractmethod
    async def sweep_sessions(self, *, retention: Micros, limit: int) -> int:
        """Delete about ``limit`` rows of what incarnations of sessions that are deleted, or were made anew since, have
        left: events, items, turns, outcomes, documents, states and inputs of requests.

        Of a request a head with the status ``removed`` stays, whose ``end_time`` is that of the deletion; such heads go
        ``retention`` after it, and the tombstone of the session, with that of its state, once they are gone. Nothing of
        a session that was made anew is touched. What a call has done stays done if it breaks off; several may run at
        once."""


class Exports(ABC):
    """Everything a store keeps, over all tenants, for copies and checks. What is read is whole if nobody writes."""

    @abstractmethod
    async def export(
        self, table: Table[Key, Record], *, after: Key | None, limit: int, max_bytes: int
    ) -> Sequence[Record]:
        """Records of one of ``tables.EXPORTED`` by key (``table.place``), from beyond ``after``; empty at the end.

        At most ``limit`` records, and those before their texts exceed ``max_bytes``, but at least one if there is any.
        Requests are whole, with their outcomes; tombstones and expired documents are among the rest. Of a session made
        anew only the present incarnation is exported, with its requests, events and turns.

        Raises:
            DamagedRecord: one can't be understood; the error has its key.
        """


class LeaseRenewal(ABC):
    """Renews leases from a thread, apart from the event loop and ahead of the commit queue: a loop that is blocked does
    not cost a process its runs."""

    @abstractmethod
    def renew(self, process: str, lease: Micros) -> None:
        """What committing :class:`~flowstate_server.stores.contract.writes.RenewLease` does, on the calling thread.

        It writes the process's record, with its new ``lease`` and the store's time as ``renew_time``, and wakes nobody.
        Returns once it is durable. Always called from the same thread.

        Raises:
            LeaseLostError: the process is fenced or unknown.
            StoreUnavailableError: the lease is as it was, or it can't be learnt.
        """

    @abstractmethod
    def close(self) -> None:
        """Release what :meth:`renew` has opened. Called from its thread, before :meth:`Backend.close`."""


class Presence(ABC):
    """Knows at once of a process of this machine that it is gone, where its lease would have to be waited for.

    By a lock that the process holds for as long as it lives, and never by its id. May touch files, so call it from a
    thread; any thread will do.
    """

    @abstractmethod
    def hold(self, process: str) -> None:
        """``process`` lives until this store is closed. Called before its first lease is taken."""

    @abstractmethod
    def known_dead(self, process: str) -> bool:
        """Whether ``process`` is gone for certain. Where there is any doubt, it is not."""


@frozen
class Ports:
    """An open backend. ``exports`` and ``pieces`` are ``None`` where a store can't be copied from, or keeps no blobs;
    ``renewal`` renews leases from a thread, ``None`` where only commits do; ``presence`` knows of dead processes,
    ``None`` where only leases tell."""

    groups: GroupStorage
    reads: Reads
    sweeps: Sweeps
    hub: WatchHub = field(default_factory=WatchHub)
    exports: Exports | None = None
    pieces: BlobPieces | None = None
    renewal: LeaseRenewal | None = None
    presence: Presence | None = None


class Backend(ABC):
    """An adapter: opens the data and gives the ports."""

    shared: ClassVar[bool] = False
    """Whether several handles may open the same data at once: those of several processes, and several in one."""

    max_wake_delay: ClassVar[float] = 1.0
    """Seconds by which a wake-up may come late when the process that committed died before it could tell."""

    @abstractmethod
    async def open(self) -> Ports:
        """Open the data, creating or migrating it (forward only, additive, idempotent, under a lock).

        Raises:
            StoreOpenError: it can't be opened; the text says why.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release everything. No call of a port is under way."""
