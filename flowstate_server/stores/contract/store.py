"""The contract that every store keeps.

A store is typed reads, one atomic :meth:`Store.commit`, and a wake-up. What a commit means is not the adapter's
business: an adapter hands its batches to ``flowstate_server.stores.commit.GroupCommitter`` and implements the small
:class:`~flowstate_server.stores.contract.storage.GroupStorage`. ``README.md`` beside this file tells how to write one;
``flowstate_server.testing.store_contract`` proves it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    StateRecord,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.contract.watch import Topic, Watch
from flowstate_server.stores.contract.writes import Batch, CommitResult


class Store(ABC):
    """One place that keeps sessions, requests, states and logs.

    All methods are called on one event loop. Reads see every commit that was acknowledged before they began. An error
    of the driver surfaces as ``StoreUnavailableError`` where a later call may succeed, never raw.
    """

    shared: ClassVar[bool] = False
    """Whether several processes may open the same data at once."""

    max_wake_delay: ClassVar[float] = 1.0
    """Seconds by which a wake-up may come late when the process that committed died before it could tell."""

    @abstractmethod
    async def open(self) -> None:
        """Open the data, creating or migrating it (forward only, idempotent, under a lock)."""

    @abstractmethod
    async def close(self) -> None:
        """Answer what was begun, then release everything. Batches that come later: ``StoreUnavailableError``."""

    # --- writing

    @abstractmethod
    async def commit(self, batch: Batch) -> CommitResult:
        """Commit all writes of ``batch`` or none, durably, and answer after that.

        Raises the refusing write's error (see the writes), whatever a ``change`` raised, or
        ``StoreUnavailableError``. Cancelling the caller leaves the batch whole or absent.
        """

    # --- reading

    @abstractmethod
    async def time(self) -> Micros:
        """The store's time, the one clock that leases, retention and expiry are judged by."""

    @abstractmethod
    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        """The session, also a deleted one's tombstone; ``None`` for an id never seen."""

    @abstractmethod
    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        """Live sessions by (create time, id) descending, from beyond ``after``; at most ``limit``."""

    @abstractmethod
    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        """The request, input and outcome included."""

    @abstractmethod
    async def load_states(self, keys: Iterable[ScopeKey]) -> Mapping[ScopeKey, StateRecord]:
        """The records of all ``keys`` from one consistent read; a record that was never written has version 0."""

    @abstractmethod
    async def read_events(
        self, request: RequestKey, *, after: int, limit: int, max_bytes: int
    ) -> EventPage | None:
        """Events of the request's log with a sequence over ``after``; ``None`` for an unknown request.

        The page ends at ``limit`` events or once their payloads and items exceed ``max_bytes``, but has at least one
        event if there is any.
        """

    @abstractmethod
    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        """The items of the newest ``newest`` completed requests, by ``session_sequence``. Costs the same however long
        the session is."""

    @abstractmethod
    async def read_projection(self, session: SessionKey, scopes: Iterable[ScopeKey]) -> Projection | None:
        """States, session head and active requests from one consistent read; ``None`` unless the session lives."""

    @abstractmethod
    async def read_processes(self) -> Sequence[ProcessRecord]:
        """Every process row."""

    @abstractmethod
    async def read_unfinished(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        """Requests in progress that ``process`` runs, inputs left empty."""

    @abstractmethod
    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        """Requests in progress that ``process`` runs and that were asked to cancel."""

    # --- watching

    @abstractmethod
    def watch(self, topics: Iterable[Topic]) -> Watch:
        """Watch topics: a commit that changes one of them, by any process, wakes the watch after it is visible.

        A watch opened before a commit wakes for it, late by at most :attr:`max_wake_delay`, never not at all.
        """

    # --- bounded range deletes, for housekeeping; each returns how many rows went, 0 when done

    @abstractmethod
    async def sweep_transient_events(self, *, retention: Micros, limit: int) -> int:
        """Delete up to ``limit`` transient events of requests that ended over ``retention`` ago (outside a request:
        of events written that long ago)."""

    @abstractmethod
    async def sweep_idempotency_keys(self, *, limit: int) -> int:
        """Delete up to ``limit`` expired idempotency keys."""

    @abstractmethod
    async def sweep_processes(self, *, limit: int) -> int:
        """Delete up to ``limit`` fenced process rows that no unfinished request names."""
