"""Holding a store's commits at a moment that a test chooses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from flowstate_server.model.clock import Micros
from flowstate_server.stores.contract.writes import (
    Batch,
    CommitResult,
    CreateRequest,
    FenceProcess,
    RenewLease,
    Write,
)
from flowstate_server.stores.store import Store


class HeldCommits:
    """Commits with a write that is ``held`` stop here until :meth:`go`, and pass from then on.

    ``after``: they stop when they are done, on the way back to their caller. Put into ``store`` when made.
    """

    def __init__(self, store: Store, held: Callable[[Write], bool], *, after: bool = False) -> None:
        self.reached = asyncio.Event()
        """One of them is here."""
        self.passed = asyncio.Event()
        """One of them was let go and is done."""
        self._going = asyncio.Event()
        self._held = held
        self._after = after
        self._commit = store.commit
        replace_commit(store, self.commit)

    def go(self) -> None:
        self._going.set()

    async def commit(self, batch: Batch) -> CommitResult:
        if not any(map(self._held, batch)):
            return await self._commit(batch)
        if self._after:
            result = await self._commit(batch)
            await self._hold()
            return result
        await self._hold()
        try:
            return await self._commit(batch)
        finally:
            self.passed.set()

    async def _hold(self) -> None:
        self.reached.set()
        await self._going.wait()


class HeldRenewals:
    """Renewals of a lease by a thread stop here until :meth:`go`, and pass from then on."""

    def __init__(self, store: Store) -> None:
        self.reached = asyncio.Event()
        self.passed = asyncio.Event()
        """One of them was let go and is done."""
        self._going = threading.Event()
        self._loop = asyncio.get_running_loop()
        renewal = store.renewal
        assert renewal is not None
        self._renew = renewal.renew
        renewal.renew = self.renew  # type: ignore[method-assign]

    def go(self) -> None:
        self._going.set()

    def renew(self, process: str, lease: Micros) -> None:
        self._loop.call_soon_threadsafe(self.reached.set)
        self._going.wait()
        try:
            self._renew(process, lease)
        finally:
            self._loop.call_soon_threadsafe(self.passed.set)


def replace_commit(store: Store, commit: Callable[[Batch], object]) -> None:
    store.commit = commit  # type: ignore[method-assign, assignment]


def is_first_lease(write: Write) -> bool:
    return isinstance(write, RenewLease) and write.start


def is_fence(write: Write) -> bool:
    return isinstance(write, FenceProcess)


def is_dispatch(write: Write) -> bool:
    return isinstance(write, CreateRequest)
