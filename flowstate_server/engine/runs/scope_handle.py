"""A run's scopes: what it knows of each record, and the handles through which blocks read and write them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.engine.runs.keyed_locks import KeyedLocks
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.store_outage import once_back
from flowstate_server.engine.state_change import ChangeRules, state_change
from flowstate_server.errors import ConcurrentModificationError, VersionMismatchError
from flowstate_server.flows.scope import ScopeHandle, ScopeWriter, StateBatch
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind
from flowstate_server.state.operations import Operation, patch_state
from flowstate_server.state.write import StateWrite
from flowstate_server.stores.contract.writes import AtVersion, ChangeState, Precondition
from flowstate_server.stores.store import Store

StateT = TypeVar("StateT", bound=BaseModel, default=Any)

FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.25


class RunScope:
    """One scope of one run: the newest record that the run has seen, and its way to the store.

    The run notes the incarnation of a record that existed when it was dispatched: once that is deleted, its writes
    are refused. A record that did not exist may be created by whoever comes first.
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
    ) -> None:
        self.record = record
        self.rules = rules
        self._incarnation: str | None = None
        self._request = request
        self._recorder = recorder
        self._store = store
        self._locks = locks
        self._cas_attempts = cas_attempts
        self._learn(record)

    async def write(
        self, operations: Sequence[Operation], precondition: Precondition | None, block_path: tuple[str, ...]
    ) -> StateWrite:
        change = state_change(operations, self.rules, block_path)
        result = await self._recorder.commit(
            ChangeState(self.record.key, change, precondition, self._request, self._incarnation)
        )
        written = result.results[-1]
        if written.state is not None:
            self._learn(written.state)
        return StateWrite(written.version, written.changed)

    async def refresh(self) -> StateRecord:
        loaded = await once_back(lambda: self._store.load_states((self.record.key,)))
        self._learn(loaded[self.record.key])
        return self.record

    async def swap(
        self, change: Callable[[StateRecord], Sequence[Operation]], block_path: tuple[str, ...]
    ) -> StateWrite:
        """Compare-and-swap until it holds, at most ``cas_attempts`` times; contenders of this process queue."""
        async with self._locks.hold(self.record.key):
            for attempt in range(self._cas_attempts):
                if attempt:
                    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
                    await asyncio.sleep(random.uniform(pause / 2, pause))
                record = await self.refresh()
                try:
                    return await self.write(change(record), AtVersion(record.version), block_path)
                except VersionMismatchError:
                    continue
        raise ConcurrentModificationError(self.record.key.kind, self._cas_attempts)

    def _learn(self, record: StateRecord) -> None:
        if record.version >= self.record.version:
            self.record = record
        shared = record.key.kind in (ScopeKind.USER, ScopeKind.ORG)
        if shared and record.exists and self._incarnation is None:
            self._incarnation = record.incarnation


class BlockScope(ScopeHandle[StateT], Generic[StateT]):
    """A run's scope as one block sees it: through the state model that the block declares."""

    def __init__(self, scope: RunScope, model: type[StateT], block_path: tuple[str, ...]) -> None:
        self._scope = scope
        self._model = model
        self._block_path = block_path
        self._view: StateT | None = None
        self._viewed: StateRecord | None = None

    @property
    def state(self) -> StateT:
        record = self._scope.record
        if self._view is None or self._viewed is not record:
            self._view = self._scope.rules.schema.view(self._model, record.state)
            self._viewed = record
        return self._view

    def get(self, field: str, /) -> Any:
        return self.state.get(field)  # type: ignore[attr-defined]  # every view has it beside the model's fields

    @property
    def version(self) -> int:
        return self._scope.record.version

    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        return await self._scope.write(operations, None, self._block_path)

    async def refresh(self) -> None:
        await self._scope.refresh()

    def batch(self) -> AbstractAsyncContextManager[StateBatch]:
        return self._batch()

    @asynccontextmanager
    async def _batch(self) -> AsyncIterator[StateBatch]:
        batch = StateBatch()
        yield batch
        if batch.operations:
            batch.result = await self.write(batch.operations)
        else:
            batch.result = StateWrite(self.version, changed=False)

    def at(self, version: int, /) -> ScopeWriter:
        return _WriterAt(self._scope, AtVersion(version), self._block_path)

    async def atomic_state(self, change: Callable[[StateT], BaseModel | Mapping[str, Any]], /) -> StateWrite:
        schema = self._scope.rules.schema

        def operations(record: StateRecord) -> Sequence[Operation]:
            return patch_state(_set_fields(change(schema.view(self._model, record.state, in_change=True))))

        return await self._scope.swap(operations, self._block_path)


def _set_fields(changed: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the defaults that a copy of the state shows: they are not to be stored."""
    if not isinstance(changed, BaseModel):
        return changed
    return {name: value for name, value in changed if name in changed.model_fields_set}


class _WriterAt(ScopeWriter):
    def __init__(self, scope: RunScope, precondition: Precondition, block_path: tuple[str, ...]) -> None:
        self._scope = scope
        self._precondition = precondition
        self._block_path = block_path

    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        return await self._scope.write(operations, self._precondition, self._block_path)
