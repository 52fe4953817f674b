"""A collection of resources of a run, as one block sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from flowstate_server.errors import (
    ResourceAlreadyExistsError,
    ResourceNotFoundError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.flows.local.begun_calls import TracksCalls, tracks_calls
from flowstate_server.flows.local.block_resource import BlockResource, ResourcePlace
from flowstate_server.flows.resource_handles import CollectionHandle, Content, ResourceHandle, as_bytes
from flowstate_server.flows.scope import StateWriter
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.programs.resource_names import check_name
from flowstate_server.programs.resources import ResourceWrite
from flowstate_server.state.operations import Operation
from flowstate_server.state.write import StateWrite

StateT = TypeVar("StateT", bound=BaseModel)


@tracks_calls
class BlockCollection(CollectionHandle[StateT], TracksCalls, Generic[StateT]):
    def __init__(self, place: ResourcePlace) -> None:
        self.begun = place.begun
        self.written = f"ctx.resource({place.declared.name})"
        self._place = place

    async def create(
        self,
        name: str,
        state: BaseModel | Mapping[str, Any] | None = None,
        /,
        *,
        content: Content | None = None,
        media_type: str | None = None,
    ) -> ResourceHandle[StateT]:
        return await self._create(self._checked(name), state, content, media_type)

    async def get(self, name: str, /) -> ResourceHandle[StateT]:
        found = await self._find(self._checked(name))
        if found is None:
            raise ResourceNotFoundError(self._place.declared.scope, name)
        return found

    async def get_or_none(self, name: str, /) -> ResourceHandle[StateT] | None:
        return await self._find(self._checked(name))

    async def get_or_create(
        self,
        name: str,
        state: BaseModel | Mapping[str, Any] | None = None,
        /,
        *,
        content: Content | None = None,
        media_type: str | None = None,
    ) -> ResourceHandle[StateT]:
        self._checked(name)
        while True:
            found = await self._find(name)
            if found is not None:
                return found
            try:
                return await self._create(name, state, content, media_type)
            except ResourceAlreadyExistsError:  # another one was first, who may have deleted it again
                continue

    async def list(
        self, prefix: str = "", *, limit: int = 50, after: str = ""
    ) -> Sequence[ResourceHandle[StateT]]:
        place = self._place
        found = await place.access.list(place.declared.described, prefix, limit=limit, after=after)
        return [self._handle(record.key.name, record) for record in found]

    async def count(self) -> int:
        return await self._place.access.count(self._place.declared.described)

    async def delete(self, name: str, /) -> bool:
        place = self._place
        seen = place.seen_of(self._checked(name))
        before = None if seen is None else seen.record
        deleted = await place.access.delete(name, place.path)
        if seen is not None and before is not None:
            seen.take_deleted(before, deleted.record)
        return deleted.changed

    async def _find(self, name: str) -> BlockResource[StateT] | None:
        record = await self._place.access.load(name)
        return self._handle(name, record) if record.exists else None

    async def _create(
        self,
        name: str,
        state: BaseModel | Mapping[str, Any] | None,
        content: Content | None,
        media_type: str | None,
    ) -> BlockResource[StateT]:
        creation = _Creation(self._place, name, content, media_type)
        await creation.set_state({} if state is None else state)
        return self._handle(name, creation.record)

    def _handle(self, name: str, record: ResourceRecord) -> BlockResource[StateT]:
        return BlockResource(self._place, name, self._place.look(name, record))

    def _checked(self, name: str) -> str:
        given: object = name
        declared = self._place.declared
        if not isinstance(given, str):
            problem = f"must be text, not {type(given).__name__}"
            raise ValidationFailedError((Violation("/name", "string_type", problem),))
        if not declared.covers(check_name("/name", name)):
            problem = f"does not fit {declared.name}"
            raise ValidationFailedError((Violation("/name", "resource_name", problem),))
        return name


class _Creation(StateWriter[Any]):
    """Writes a resource that must not be there yet, once; ``record`` is what it then is."""

    record: ResourceRecord

    def __init__(
        self, place: ResourcePlace, name: str, content: Content | None, media_type: str | None
    ) -> None:
        self._schema = place.declared.schema
        self._place = place
        self._name = name
        self._content = None if content is None else as_bytes(content)
        self._media_type = media_type

    def _commit(self, operations: Sequence[Operation], /) -> Awaitable[StateWrite]:
        return self._create(operations)

    async def _create(self, operations: Sequence[Operation]) -> StateWrite:
        access = self._place.access
        write = ResourceWrite(operations, self._content, self._media_type, exists=False)
        written = await access.write(self._name, write, self._place.path)
        self.record = written.record
        return StateWrite(written.record.version, written.changed)
