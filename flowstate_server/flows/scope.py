"""What a block sees of a scope: its state to read, the operations to change it.

The operations are *declarative*: the store applies them to the newest stored state, inside its transaction. They never
lose an update and never raise a conflict, whoever else writes. ``ScopeHandle.atomic_state`` is for the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.errors import JsonInvalidError
from flowstate_server.flows.call_forms import explains_operations
from flowstate_server.flows.reading import ScopeReading
from flowstate_server.programs.threads import STILL_SECONDS, DaemonThreads
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op
from flowstate_server.state.operations import Operation
from flowstate_server.state.write import StateWrite

T = TypeVar("T")
StateT_co = TypeVar("StateT_co", bound=BaseModel | None, default=Any, covariant=True)
Fields = Mapping[str, Any]

_threads = DaemonThreads("flowstate-values")


class StateWriter(ABC, Generic[StateT_co]):
    """The declarative operations on one state; each is one commit and answers with the version it made.

    A place takes what its type is: sets, bytes, dates, dataclasses and models as much as their JSON form. What is
    stored is what the field's validation makes of it.

    Raises (all of them, nothing is written then):
        StateValidationError: the state would not fit the flow's schema; names path and rule.
        StateTypeConflictError: the stored value has a type the operation can't work on.
        JsonInvalidError, JsonNumberError, JsonLimitError: a value is not JSON by the profile.
        StateTooLargeError: the state would exceed its size limit.
        ScopeUnavailableError: the user or org record was deleted while this request ran.
        LeaseLostError, RequestTerminalError: the request was ended elsewhere, or this block was abandoned; stop.
    """

    _schema: ModelSchema

    @abstractmethod
    def _commit(self, operations: Sequence[Operation], /) -> Awaitable[StateWrite]:
        """Commit ``operations`` as one version, or none of them."""

    async def _write(self, make: Callable[..., Sequence[Operation]], *arguments: Any) -> StateWrite:
        if self._schema.dumped_by_code:  # which may take its time
            return await self._commit(await _threads.begin(partial(make, *arguments), still=STILL_SECONDS))
        return await self._commit(make(*arguments))

    async def set_state(self, state: BaseModel | Fields, /) -> StateWrite:
        """Replace the whole state (fields that only other flows declare are kept)."""
        return await self._write(op.set_state, state, self._schema.fields_json)

    async def patch_state(self, fields: Fields | None = None, /, **more: Any) -> StateWrite:
        """Set the given top-level fields, leave the others."""
        return await self._write(op.patch_state, _together(fields, more), self._schema.fields_json)

    async def inc_state(
        self, deltas: Mapping[str, int | float] | None = None, /, **more: float
    ) -> StateWrite:
        """Add to numeric fields; a missing one starts at its schema default, else 0, and null counts as 0."""
        return await self._commit(op.inc_state(_together(deltas, more)))

    async def push_state(self, field: str, /, *values: Any) -> StateWrite:
        """Append to a list; a missing one starts at its schema default, else empty, and null counts as empty.

        The whole list is validated, with what was in it: its elements' validators have 250 ms for all of them together.
        """
        return await self._write(op.push_state, field, values, self._schema.element_json)

    async def set_state_record(self, field: str, key: Hashable, value: Any, /) -> StateWrite:
        """``state[field][key] = value``; a map that is missing or null is created."""
        return await self._write(op.set_state_record, field, key, value, self._schema.record_json)

    async def delete_state_record(self, field: str, key: Hashable, /) -> StateWrite:
        """Remove ``state[field][key]`` if it is there."""
        return await self._write(op.delete_state_record, field, key, self._schema.key_json)

    async def unset_state(self, *fields: str) -> StateWrite:
        """Remove top-level fields; their defaults show again."""
        return await self._commit(op.unset_state(fields))


class ScopeWriter(StateWriter[StateT_co], Generic[StateT_co]):
    """The operations of :class:`StateWriter` on a scope."""

    @abstractmethod
    async def write(self, operations: Sequence[Operation], /) -> StateWrite:
        """Commit ``operations`` as one version, or none of them."""

    def _commit(self, operations: Sequence[Operation], /) -> Awaitable[StateWrite]:
        return self.write(operations)


@explains_operations
class StateBatch(Generic[StateT_co]):
    """Operations collected in ``async with scope.batch() as b`` and committed as one version when the block ends.

    The methods only collect: nothing is awaited, and nothing is committed if the ``with`` body raises. After its end
    they raise ``RuntimeError``.
    """

    def __init__(self, schema: ModelSchema) -> None:
        self._schema = schema
        self._operations: list[Operation] = []
        self.result: StateWrite | None = None
        self.closed = False

    @property
    def operations(self) -> list[Operation]:
        """What was collected so far, in order."""
        return self._operations

    def _collect(self, operations: Iterable[Operation]) -> None:
        if self.closed:
            raise RuntimeError("the batch is over: what is to be in it belongs into its `async with`")
        self._operations += operations

    def set_state(self, state: BaseModel | Fields, /) -> None:
        self._collect(op.set_state(state, self._schema.fields_json))

    def patch_state(self, fields: Fields | None = None, /, **more: Any) -> None:
        self._collect(op.patch_state(_together(fields, more), self._schema.fields_json))

    def inc_state(self, deltas: Mapping[str, int | float] | None = None, /, **more: float) -> None:
        self._collect(op.inc_state(_together(deltas, more)))

    def push_state(self, field: str, /, *values: Any) -> None:
        self._collect(op.push_state(field, values, self._schema.element_json))

    def set_state_record(self, field: str, key: Hashable, value: Any, /) -> None:
        self._collect(op.set_state_record(field, key, value, self._schema.record_json))

    def delete_state_record(self, field: str, key: Hashable, /) -> None:
        self._collect(op.delete_state_record(field, key, self._schema.key_json))

    def unset_state(self, *fields: str) -> None:
        self._collect(op.unset_state(fields))


class ScopeHandle(ScopeReading[StateT_co], ScopeWriter[StateT_co], Generic[StateT_co]):
    """A scope of the running request."""

    @property
    @abstractmethod
    def state(self) -> StateT_co:
        """The state as the block's model, read like attributes, with defaults and this request's own earlier writes.

        It is read-only, and so are the lists, dicts, sets and models in it: ``state.count = 5`` raises
        ``AttributeError`` and ``state.notes.append(...)`` ``TypeError``, and both name the operation to write with,
        here :meth:`inc_state` or :meth:`patch_state`, and :meth:`push_state`. Copies are ordinary values:
        ``[*state.notes, "more"]``, ``state.profile.model_copy(update={...})``, ``copy.deepcopy(state.tree)``.

        Others' writes appear after the next write or :meth:`refresh`. Reading a field that has neither value nor
        default raises ``StateFieldAbsentError``; :meth:`get` gives ``None`` for it.
        """

    @abstractmethod
    async def refresh(self) -> None:
        """Read the newest stored state."""

    @abstractmethod
    def batch(self) -> AbstractAsyncContextManager[StateBatch[StateT_co]]:
        """Collect operations and commit them as one version."""

    @abstractmethod
    def at(self, version: int, /) -> ScopeWriter[StateT_co]:
        """The same operations, on the condition that the stored state is at ``version``.

        Otherwise nothing is written and ``VersionMismatchError`` carries the current version. Never retried.
        """

    @abstractmethod
    async def atomic_state(self, change: Callable[[StateT_co], BaseModel | Fields], /) -> StateWrite:
        """Read, compute, compare-and-swap: ``change`` gets the newest state and returns what changes.

        That is a dict of the fields to merge, or a changed copy of the state. The state it gets is read-only::

            await ctx.session.atomic_state(lambda s: {"best": max(s.best, points), "log": [*s.log, points]})
            await ctx.session.atomic_state(lambda s: s.model_copy(update={"best": max(s.best, points)}))

        ``change`` must be pure: it runs again on the fresh state when another writer was first. After the scope's
        budget of lost races (``cas_attempts``) it raises ``ConcurrentModificationError``.
        """


def _together(fields: Mapping[str, T] | None, more: Mapping[str, T]) -> dict[str, T]:
    """Fields that are given as a mapping, as keywords, or both."""
    given: object = {} if fields is None else fields
    if not isinstance(given, Mapping):
        problem = f"must be a dict of fields, or fields as keywords, not {type(given).__qualname__}"
        raise JsonInvalidError("", problem)
    return {**given, **more}
