"""The store: one place that keeps sessions, requests, states, logs and documents.

A store is typed reads, one atomic :meth:`Store.commit`, and a wake-up. What a commit means is not the adapter's
business: an adapter is a :class:`~flowstate_server.stores.contract.backend.Backend`, four small ports.
``contract/README.md`` tells how to write one; ``flowstate_server.testing.store_contract`` proves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from operator import attrgetter
from typing import Any, Concatenate, ParamSpec, TypeVar

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.records import ProcessRecord
from flowstate_server.observation import NOBODY, Observer
from flowstate_server.stores.commit import GroupCommitter
from flowstate_server.stores.contract.backend import (
    Backend,
    Exports,
    LeaseRenewal,
    Ports,
    Presence,
    Reads,
    Sweeps,
)
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.contract.watch import Topic, Watch
from flowstate_server.stores.contract.writes import Batch, CommitResult

P = ParamSpec("P")
T = TypeVar("T")


def _forwarded(
    port: str, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]
) -> Callable[Concatenate[Store, P], Coroutine[Any, Any, T]]:
    """A method of the store that is one of a port's, which tells what it promises."""
    forward_to = attrgetter(f"{port}.{method.__name__}")

    @wraps(method, updated=())
    async def call(store: Store, /, *args: P.args, **kwargs: P.kwargs) -> T:
        answer: T = await forward_to(store._open)(*args, **kwargs)
        return answer

    return call


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
        ports = await self.backend.open()
        self._committer = GroupCommitter(ports.groups, ports.hub, self._observer)
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
        """Commit all writes of ``batch`` or none (a :class:`Savepoint` apart), durably, and answer after that.

        Raises the refusing write's error (see the writes), whatever a ``change`` raised, or ``StoreUnavailableError``.
        Cancelling the caller leaves the batch whole or absent.
        """
        if self._committer is None:
            raise StoreUnavailableError
        return await self._committer.commit(batch)

    time = _forwarded("reads", Reads.time)
    get_session = _forwarded("reads", Reads.get_session)
    list_sessions = _forwarded("reads", Reads.list_sessions)
    count_sessions = _forwarded("reads", Reads.count_sessions)
    walk_sessions = _forwarded("reads", Reads.walk_sessions)
    get_request = _forwarded("reads", Reads.get_request)
    get_removed_request = _forwarded("reads", Reads.get_removed_request)
    load_states = _forwarded("reads", Reads.load_states)
    load_documents = _forwarded("reads", Reads.load_documents)
    read_documents = _forwarded("reads", Reads.read_documents)
    read_events = _forwarded("reads", Reads.read_events)
    read_turns = _forwarded("reads", Reads.read_turns)
    list_items = _forwarded("reads", Reads.list_items)
    newest_turns = _forwarded("reads", Reads.newest_turns)
    list_turns = _forwarded("reads", Reads.list_turns)
    list_requests = _forwarded("reads", Reads.list_requests)
    read_oldest_turns = _forwarded("reads", Reads.read_oldest_turns)
    read_projection = _forwarded("reads", Reads.read_projection)
    read_processes = _forwarded("reads", Reads.read_processes)
    read_running = _forwarded("reads", Reads.read_running)
    read_cancelled = _forwarded("reads", Reads.read_cancelled)

    async def leased(self) -> list[ProcessRecord]:
        """The processes that hold a lease; one that was killed may be among them until that ends."""
        now = await self.time()
        found = [one for one in await self.read_processes() if one.expire_time > now and not one.fenced]
        presence = self.presence
        if presence is None:
            return found
        return [one for one in found if not await asyncio.to_thread(presence.known_dead, one.process)]

    def watch(self, topics: Iterable[Topic], *, pages: bool = False) -> Watch:
        """Watch topics: a commit that changes one of them, by any process, wakes the watch after it is visible.

        A watch opened before a commit wakes for it, late by at most :attr:`max_wake_delay`, never not at all. One for
        ``pages`` of a log is also told what this process has appended to it.
        """
        return self._open.hub.open(topics, pages=pages)

    def followers(self, topics: Iterable[Topic]) -> int:
        """How many watches of this store are open on ``topics``."""
        return sum(map(self._ports.hub.count, topics)) if self._ports is not None else 0

    sweep_transient_events = _forwarded("sweeps", Sweeps.sweep_transient_events)
    sweep_documents = _forwarded("sweeps", Sweeps.sweep_documents)
    sweep_processes = _forwarded("sweeps", Sweeps.sweep_processes)
    sweep_sessions = _forwarded("sweeps", Sweeps.sweep_sessions)

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
    def presence(self) -> Presence | None:
        """Knows of dead processes of this machine; ``None`` if only leases tell."""
        return self._open.presence

    @property
    def _open(self) -> Ports:
        if self._ports is None:
            raise StoreUnavailableError
        return self._ports
