"""The store: one place that keeps sessions, requests, states, logs and documents.

A store is typed reads, one atomic :meth:`Store.commit`, and a wake-up. What a commit means is not the adapter's
business: an adapter is a :class:`~flowstate_server.stores.contract.backend.Backend`, four small ports.
``contract/README.md`` tells how to write one; ``flowstate_server.testing.store_contract`` proves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import LogKey, RequestKey, ScopeKey, SessionKey
from flowstate_server.observation import NOBODY, Observer
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.backend import Backend, Exports, LeaseRenewal, Ports
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.contract.watch import Topic, Watch
from flowstate_server.stores.contract.writes import Batch, CommitResult
from flowstate_server.stores.observed import observed

Key = TypeVar("Key")
Record = TypeVar("Record")

MAX_DOCUMENT_BYTES = 1024 * 1024
"""Bytes of documents that one read gives unless told otherwise."""


class Store:
    """A backend, open or not, with what is the same for all of them.

    All methods are called on one event loop. Reads see every commit that was acknowledged before they began. An error
    of the driver surfaces as ``StoreUnavailableError`` where a later call may succeed, never raw; so does every call
    while the store is not open.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._observer: Observer = NOBODY
        self._ports: Ports | None = None
        self._committer: GroupCommitter | None = None

    @property
    def shared(self) -> bool:
        """Whether several handles, of one process or several, may open the same data at once."""
        return self.backend.shared

    @property
    def max_wake_delay(self) -> float:
        """Seconds by which a wake-up may come late when the process that committed died before it could tell."""
        return self.backend.max_wake_delay

    def tell(self, observer: Observer) -> None:
        """Tell ``observer`` of commits, from the next opening on."""
        self._observer = observer

    async def open(self) -> None:
        """Open the data, creating or migrating it (forward only, idempotent, under a lock).

        Raises:
            StoreOpenError: it can't be opened; the text says why.
        """
        ports = observed(await self.backend.open(), self._observer)
        self._committer = GroupCommitter(ports.groups, ports.hub)
        self._committer.start()
        self._ports = ports

    async def close(self) -> None:
        """Answer what was begun, then release everything. Calls that come later: ``StoreUnavailableError``."""
        committer, self._committer = self._committer, None
        if committer is not None:
            await committer.close()
        if self._ports is not None:
            self._ports = None
            await self.backend.close()

    async def commit(self, batch: Batch) -> CommitResult:
        """Commit all writes of ``batch`` or none, durably, and answer after that.

        Raises the refusing write's error (see the writes), whatever a ``change`` raised, or ``StoreUnavailableError``.
        Cancelling the caller leaves the batch whole or absent.
        """
        if self._committer is None:
            raise StoreUnavailableError
        return await self._committer.commit(batch)

    async def time(self) -> Micros:
        """The store's time, the one clock that leases, retention and expiry are judged by."""
        return await self._open.reads.time()

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        """The session, also a deleted one's tombstone; ``None`` for an id never seen."""
        return await self._open.reads.get_session(key)

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        """Live sessions by (create time, id) descending, from beyond ``after``; at most ``limit``."""
        return await self._open.reads.list_sessions(which, limit=limit, after=after)

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        """The request, input and outcome included."""
        return await self._open.reads.get_request(key)

    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        """The records of all ``keys`` from one consistent read; a record that was never written has version 0."""
        return await self._open.reads.load_states(keys)

    async def load_documents(self, keys: Iterable[DocumentKey]) -> Mapping[DocumentKey, Document]:
        """Those of the documents that are there, from one consistent read; no tombstones, nothing expired."""
        return await self._open.reads.load_documents(keys)

    async def read_documents(
        self, which: DocumentRange, *, max_bytes: int = MAX_DOCUMENT_BYTES
    ) -> Sequence[Document]:
        """The documents of a range in its order: at most its ``limit``, and those before their texts exceed
        ``max_bytes``, but at least one if there is any."""
        return await self._open.reads.read_documents(which, max_bytes=max_bytes)

    async def read_events(self, log: LogKey, *, after: int, limit: int, max_bytes: int) -> EventPage | None:
        """Events of the log with a sequence (of a session's log: ``session_sequence``) over ``after``.

        The page ends at ``limit`` events or once their payloads and items exceed ``max_bytes``, but has at least one
        event if there is any. ``None`` for an unknown request or session; the log of a session is that of its present
        incarnation, which has ended if it is deleted.
        """
        return await self._open.reads.read_events(log, after=after, limit=limit, max_bytes=max_bytes)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        """The items of the ``newest`` turns, turn by turn, by index within each. Costs the same however long the
        session is."""
        return await self._open.reads.read_turns(session, log_id, newest=newest)

    async def read_projection(
        self, session: SessionKey, scopes: Iterable[ScopeKey], documents: Iterable[DocumentKey] = ()
    ) -> Projection | None:
        """States, documents, session head and open requests from one consistent read; ``None`` unless the session
        lives."""
        return await self._open.reads.read_projection(session, scopes, documents)

    async def read_processes(self) -> Sequence[ProcessRecord]:
        """Every process row."""
        return await self._open.reads.read_processes()

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        """Requests in progress that ``process`` runs, in any order, inputs left empty."""
        return await self._open.reads.read_running(process, limit=limit)

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        """Requests in progress that ``process`` runs and that were asked to cancel."""
        return await self._open.reads.read_cancelled(process)

    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Watch topics: a commit that changes one of them, by any process, wakes the watch after it is visible.

        A watch opened before a commit wakes for it, late by at most :attr:`max_wake_delay`, never not at all.
        """
        return self._open.hub.open(topics)

    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        """Delete up to ``limit`` transient events of requests that ended over ``retention`` ago (outside a request:
        of events written that long ago)."""
        return await self._open.sweeps.sweep_transient_events(retention=retention, limit=limit)

    async def sweep_documents(self, *, limit: int) -> int:
        """Delete up to ``limit`` expired documents, of all kinds, and tombstones whose time is over."""
        return await self._open.sweeps.sweep_documents(limit=limit)

    async def sweep_processes(self, *, limit: int) -> int:
        """Delete up to ``limit`` fenced process rows that run no request in progress; the last process of a suspended
        one may go."""
        return await self._open.sweeps.sweep_processes(limit=limit)

    @property
    def exports(self) -> Exports | None:
        """What copies and checks read; ``None`` if the store can't be copied from."""
        return self._open.exports

    @property
    def pieces(self) -> BlobPieces | None:
        """Where pieces of blobs are kept; ``None`` if the store keeps none."""
        return self._open.pieces

    @property
    def renewal(self) -> LeaseRenewal | None:
        """Renews leases from a thread of its own; ``None`` if only commits do."""
        return self._open.renewal

    @property
    def _open(self) -> Ports:
        if self._ports is None:
            raise StoreUnavailableError
        return self._ports
