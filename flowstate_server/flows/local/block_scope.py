"""A run's scope as one block sees it: typed by the state model that the block declares."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, NoReturn

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.errors import JsonInvalidError, StateFieldAbsentError, StateValidationError
from flowstate_server.flows.local.begun_calls import Begun, TracksCalls, tracks_calls
from flowstate_server.flows.scope import ScopeHandle, ScopeWriter, StateBatch
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import StateRecord
from flowstate_server.programs.run_context import ScopeAccess
from flowstate_server.schemas.pydantic.read_only import SCALARS
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.schemas.pydantic.stored_form import members_of, same_value
from flowstate_server.state.missing import MISSING
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
        written: str = "",
    ) -> None:
        self.begun = begun
        self.written = written or f"ctx.{schema.scope}"
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

    @state.setter
    def state(self, value: object) -> NoReturn:
        __tracebackhide__ = True
        raise AttributeError(
            f"{self.written}.state is read-only: replace it with {self.written}.set_state(...), "
            f"change fields with {self.written}.patch_state(...)"
        )

    def get(self, field: str, /) -> Any:
        return self.state.get(field)  # type: ignore[attr-defined]  # every view has it beside the model's fields

    @property
    def version(self) -> int:
        return self._scope.record.version

    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        return await self._scope.write(operations, self._block_path)

    async def refresh(self) -> None:
        await self._scope.refresh()

    def batch(self) -> AbstractAsyncContextManager[StateBatch[StateT]]:
        return self._batch()

    @asynccontextmanager
    async def _batch(self) -> AsyncIterator[StateBatch[StateT]]:
        batch: StateBatch[StateT] = StateBatch(self._schema)
        try:
            yield batch
        finally:
            batch.closed = True
        if batch.operations:
            batch.result = await self.write(batch.operations)
        else:
            batch.result = StateWrite(self.version, changed=False)

    def at(self, version: int, /) -> ScopeWriter[StateT]:
        return _WriterAt(self, self._scope, self._schema, version, self._block_path)

    async def atomic_state(self, change: Callable[[StateT], BaseModel | Mapping[str, Any]], /) -> StateWrite:
        given: object = change
        if not callable(given):
            raise JsonInvalidError("atomic_state", f"takes a function, not {type(given).__qualname__}")

        def operations(record: StateRecord) -> Sequence[Operation]:
            view = self._schema.view(self._model, record.state, in_change=True)
            return patch_state(self._changes(view, change(view), record.state), self._schema.fields_json)

        return await self._scope.swap(operations, self._block_path)

    def _changes(self, view: Any, changed: object, state: JsonObject) -> Mapping[str, Any]:
        """What the function of ``atomic_state`` gave, as fields to write: of a model those that are not in the view."""
        if inspect.iscoroutine(changed):
            changed.close()
            raise JsonInvalidError("atomic_state", "the function must not be async")
        if isinstance(changed, Mapping):
            return changed
        if not isinstance(changed, BaseModel):
            given = type(changed).__qualname__
            problem = (
                f"the function must return what changes, as a dict of fields or a changed copy, not {given}"
            )
            raise JsonInvalidError("atomic_state", problem)
        if changed is view:
            return {}
        kind = type(changed)
        others = changed.__dict__.keys() - kind.model_fields.keys()
        if strangers := sorted(name for name in others if not hasattr(kind, name)):  # no cached property
            raise JsonInvalidError("atomic_state", f"the copy has what is no field: {', '.join(strangers)}")
        chosen = changed.model_fields_set
        return {
            name: value
            for name, value in members_of(changed).items()
            # a default that is only shown is not to be stored, unless it was changed in place
            if (name in chosen or name not in state) and not self._shows(view, name, value)
        }

    def _shows(self, view: Any, name: str, value: object) -> bool:
        """Whether a field of ``view`` is ``value``."""
        try:
            shown = getattr(view, name, MISSING)
        except (StateFieldAbsentError, StateValidationError):
            return False
        if type(value) in SCALARS and type(shown) is not type(value):
            return False
        return same_value(shown, value)


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
