"""A run's scopes: what it knows of each record, and its way to the store."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from flowstate_server.engine.rehearsals import Rehearsals, Rehearsed, may_take_long
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.state_change import ChangeRules, state_change
from flowstate_server.engine.upgrades import Upgraded
from flowstate_server.errors import (
    ConcurrentModificationError,
    ScopeUnavailableError,
    VersionMismatchError,
)
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind
from flowstate_server.model.tombstones import last_deletion_in, last_deletion_key
from flowstate_server.state.operations import Operation
from flowstate_server.state.write import StateWrite
from flowstate_server.stores.contract.writes import AtVersion, ChangeState
from flowstate_server.stores.store import Store

KeyT = TypeVar("KeyT", bound=Hashable)

# Seconds between attempts of atomic_state: from about the time of one commit on, doubled, and spread.
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.05
CAS_SECONDS = 2.0
"""From the turn of a contender on."""


class KeyedLocks(Generic[KeyT]):
    """One lock a key, first come, first served, kept only while somebody holds or waits for it."""

    def __init__(self) -> None:
        self._locks: dict[KeyT, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: KeyT) -> AsyncIterator[None]:
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, users - 1)


class RunScope:
    """One scope of one run: the newest record that the run has seen, and its way to the store.

    The run notes the incarnation of a record that existed when it was dispatched: once that is deleted, its writes
    are refused. A record that did not exist may be created by whoever comes first, until one is deleted.
    """

    def __init__(
        self,
        record: StateRecord,
        rules: ChangeRules,
        request: RequestKey,
        recorder: Recorder,
        store: Store,
        locks: KeyedLocks[ScopeKey],
        cas_attempts: int,
        rehearsals: Rehearsals,
        *,
        loaded: bool = True,
    ) -> None:
        """``loaded``: whether the record is that of the dispatch, present or absent."""
        self.rules = rules
        self._stored = record
        self._today: Upgraded | ScopeUnavailableError | None = None
        self._shared = record.key.kind in (ScopeKind.USER, ScopeKind.ORG)
        self._incarnation = record.incarnation if self._shared and record.exists else None
        self._absent_at = record.version if self._shared and loaded and not record.exists else None
        self._request = request
        self._recorder = recorder
        self._store = store
        self._locks = locks
        self._cas_attempts = cas_attempts
        self._rehearsals = rehearsals
        self._rehearsing = asyncio.Lock()

    @property
    def key(self) -> ScopeKey:
        return self._stored.key

    @property
    def incarnation(self) -> str | None:
        """That of the user's or org's record that the run works on, once it is known to be there."""
        return self._incarnation

    @property
    def absent_at(self) -> int | None:
        """The version of a user or org of whom there was no record when the run was dispatched; 0, or a tombstone's."""
        return self._absent_at

    async def meet(self, record: StateRecord) -> None:
        """The run is about to write by what it has read of a user's or org's record by other ways than this.

        Raises:
            ScopeUnavailableError: there was none when the run was dispatched, and one was deleted since.
        """
        if self._absent_at is not None:
            last = record.version
            if record.exists:
                place = last_deletion_key(record.key)
                documents = await self._recorder.once_back(lambda: self._store.load_documents((place,)))
                last = last_deletion_in(documents.get(place))
            if last > self._absent_at:
                raise ScopeUnavailableError(record.key.kind.value, "it was deleted")
        if record.exists:
            self.note_incarnation(record.incarnation)

    def note_incarnation(self, incarnation: str) -> None:
        """The run has met a user's or org's record, or made it, by other ways than this."""
        if self._incarnation is None:
            self._incarnation = incarnation

    @property
    def record(self) -> StateRecord:
        """
        Raises:
            ScopeUnavailableError: the record can't be upgraded.
        """
        return self._upgraded().record

    async def prepare(self) -> None:
        """Upgrade the record ahead of those who read it."""
        if self.rules.upgrades.needed(self._stored):
            try:
                self._today = await self.rules.upgrades.ahead(self._stored)
            except ScopeUnavailableError as error:
                self._today = error

    async def write(
        self, operations: Sequence[Operation], path: tuple[str, ...], *, at: int | None = None
    ) -> StateWrite:
        rehearsed = await self._rehearsed(operations)
        change = state_change(operations, self.rules, path, expected=self._upgraded(), rehearsed=rehearsed)
        precondition = None if at is None else AtVersion(at)
        incarnation, absent_at = self._incarnation, 0
        if incarnation is None and self._absent_at is not None:
            incarnation, absent_at = "", self._absent_at
        result = await self._recorder.write(
            ChangeState(
                self._stored.key, change, precondition, self._request, incarnation, absent_at=absent_at
            )
        )
        written = result.results[-1]
        if written.state is not None:
            self._learn(written.state)
            if self._shared and written.state.exists:
                self.note_incarnation(written.state.incarnation)
        return StateWrite(written.version, written.changed)

    async def _rehearsed(self, operations: Sequence[Operation]) -> Rehearsed | None:
        needed = may_take_long(operations, self.rules.schema)
        if not needed and not self._rehearsing.locked():
            return None
        async with self._rehearsing:  # writes keep the order in which they were begun
            if not needed:
                return None
            return await self._rehearsals.of(operations, self.rules.schema, self.record)

    async def refresh(self) -> StateRecord:
        loaded = await self._recorder.once_back(lambda: self._store.load_states((self._stored.key,)))
        self._learn(loaded[self._stored.key])
        await self.prepare()
        return self.record

    async def swap(
        self, change: Callable[[StateRecord], Sequence[Operation]], path: tuple[str, ...]
    ) -> StateWrite:
        """Compare-and-swap until it holds; contenders of this process queue.

        Given up after ``cas_attempts`` losses or :data:`CAS_SECONDS`, whichever comes later: a record that others write
        without a pause is lost eight times within milliseconds.
        """
        attempts = 0
        async with self._locks.hold(self._stored.key):
            end = time.monotonic() + CAS_SECONDS
            record = await self.refresh()
            while True:
                attempts += 1
                try:
                    return await self.write(change(record), path, at=record.version)
                except VersionMismatchError as lost:
                    if attempts >= self._cas_attempts and time.monotonic() >= end:
                        break
                    newest = lost.newest
                # At once with what it lost to, which wins against writers of this process; every other time after a
                # pause, for those who lost to each other are not to meet again.
                if attempts % 2 and isinstance(newest, StateRecord):
                    self._learn(newest)
                    await self.prepare()
                    record = self.record
                else:
                    await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempts)))
                    record = await self.refresh()
        raise ConcurrentModificationError(self._stored.key.kind, attempts)

    def _upgraded(self) -> Upgraded:
        if self._today is None:
            self._today = self.rules.upgrades.upgraded(self._stored)
        if isinstance(self._today, ScopeUnavailableError):
            raise self._today
        return self._today

    def _learn(self, record: StateRecord) -> None:
        if record.version >= self._stored.version and record is not self._stored:
            self._stored = record
            self._today = None
