"""A run's scope as one block sees it: typed by the state model that the block declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.flows.local.batches import OpenBatch
from flowstate_server.flows.local.begun_calls import Begun, TracksCalls, tracks_calls
from flowstate_server.flows.local.changed_fields import changed_by, require_function
from flowstate_server.flows.local.shown_state import ShownState
from flowstate_server.flows.scope import ScopeHandle, ScopeWriter, StateBatch
from flowstate_server.model.records import StateRecord
from flowstate_server.programs.run_context import ScopeAccess
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state.operations import Operation
from flowstate_server.state.write import StateWrite

StateT = TypeVar("StateT", bound=BaseModel, default=Any)


@tracks_calls
class BlockScope(ShownState[StateT], ScopeHandle[StateT], Generic[StateT]):
    def __init__(
        self,
        scope: ScopeAccess,
        schema: ModelSchema,
        model: type[StateT],
        block_path: tuple[str, ...],
        begun: Begun,
        written: str = "",
    ) -> None:
        self.begun = begun
        self.written = written or schema.written
        self._scope = self._source = scope
        self._schema = schema
        self._model = model
        self._block_path = block_path

    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        return await self._scope.write(operations, self._block_path)

    async def refresh(self) -> None:
        await self._scope.refresh()

    def batch(self) -> AbstractAsyncContextManager[StateBatch[StateT]]:
        batch: StateBatch[StateT] = StateBatch(self._schema)
        return OpenBatch(batch, self._save_batch, f"{self.written}.batch()")

    async def _save_batch(self, batch: StateBatch[StateT]) -> StateWrite:
        if batch.operations:
            return await self.write(batch.operations)
        return StateWrite(self.version, changed=False)

    def at(self, version: int, /) -> ScopeWriter[StateT]:
        return _WriterAt(self, self._scope, self._schema, version, self._block_path)

    async def atomic_state(self, change: Callable[[StateT], BaseModel | Mapping[str, Any]], /) -> StateWrite:
        require_function(change)

        def operations(record: StateRecord) -> Sequence[Operation]:
            return changed_by(change, self._schema, self._model, record.state)

        return await self._scope.swap(operations, self._block_path)


@tracks_calls
class _WriterAt(ScopeWriter[Any], TracksCalls):
    def __init__(
        self,
        whole: TracksCalls,
        scope: ScopeAccess,
        schema: ModelSchema,
        version: int,
        block_path: tuple[str, ...],
    ) -> None:
        self.begun = whole.begun
        self.written = f"{whole.written}.at({version})"
        self._scope = scope
        self._schema = schema
        self._version = version
        self._block_path = block_path

    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        return await self._scope.write(operations, self._block_path, at=self._version)
