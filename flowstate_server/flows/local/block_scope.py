"""A run's scope as one block sees it: typed by the state model that the block declares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.flows.local.begun_calls import Begun, TracksCalls, tracks_calls
from flowstate_server.flows.scope import ScopeHandle, ScopeWriter, StateBatch
from flowstate_server.model.records import StateRecord
from flowstate_server.programs.run_context import ScopeAccess
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state.operations import Operation, patch_state
from flowstate_server.state.write import StateWrite

StateT = TypeVar("StateT", bound=BaseModel, default=Any)


@tracks_calls
class BlockScope(ScopeHandle[StateT], TracksCalls, Generic[StateT]):
    def __init__(
        self,
        scope: ScopeAccess,
        schema: ModelSchema,
        model: type[StateT],
        block_path: tuple[str, ...],
        begun: Begun,
    ) -> None:
        self.begun = begun
        self.written = f"ctx.{scope.record.key.kind}"
        self._scope = scope
        self._schema = schema
        self._model = model
        self._block_path = block_path
        self._view: StateT | None = None
        self._viewed: StateRecord | None = None

    @property
    def state(self) -> StateT:
        record = self._scope.record
        if self._view is None or self._viewed is not record:
            self._view = self._schema.view(self._model, record.state)
            self._viewed = record
        return self._view

    def get(self, field: str, /) -> Any:
        return self.state.get(field)  # type: ignore[attr-defined]  # every view has it beside the model's fields

    @property
    def version(self) -> int:
        return self._scope.record.version

    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        return await self._scope.write(operations, self._block_path)

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
        return _WriterAt(self, self._scope, version, self._block_path)

    async def atomic_state(self, change: Callable[[StateT], BaseModel | Mapping[str, Any]], /) -> StateWrite:
        def operations(record: StateRecord) -> Sequence[Operation]:
            view = self._schema.view(self._model, record.state, in_change=True)
            return patch_state(_set_fields(change(view)), to_json)

        return await self._scope.swap(operations, self._block_path)


def _set_fields(changed: BaseModel | Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the defaults that a copy of the state shows: they are not to be stored."""
    if not isinstance(changed, BaseModel):
        return changed
    return {name: value for name, value in changed if name in changed.model_fields_set}


@tracks_calls
class _WriterAt(ScopeWriter, TracksCalls):
    def __init__(
        self, whole: TracksCalls, scope: ScopeAccess, version: int, block_path: tuple[str, ...]
    ) -> None:
        self.begun = whole.begun
        self.written = f"{whole.written}.at({version})"
        self._scope = scope
        self._version = version
        self._block_path = block_path

    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        return await self._scope.write(operations, self._block_path, at=self._version)
