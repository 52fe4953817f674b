"""Resources of a block without their operations, for the functions that decide for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from flowstate_server.flows.local.only_reading import OnlyReading
from flowstate_server.flows.resource_handles import CollectionHandle, ResourceHandle
from flowstate_server.flows.resource_reading import CollectionReading, ResourceReading


def read_only(
    handle: ResourceHandle[Any] | CollectionHandle[Any],
) -> ResourceReading[Any] | CollectionReading[Any]:
    return _ReadCollection(handle) if isinstance(handle, CollectionHandle) else _ReadResource(handle)


class _ReadResource(OnlyReading, ResourceReading[Any]):
    writes = ResourceHandle

    def __init__(self, handle: ResourceHandle[Any]) -> None:
        self._handle = handle

    @property
    def name(self) -> str:
        return self._handle.name

    @property
    def exists(self) -> bool:
        return self._handle.exists

    @property
    def version(self) -> int:
        return self._handle.version

    @property
    def state(self) -> Any:
        return self._handle.state

    def get(self, field: str, /) -> Any:
        return self._handle.get(field)

    @property
    def size(self) -> int:
        return self._handle.size

    @property
    def sha256(self) -> str:
        return self._handle.sha256

    @property
    def media_type(self) -> str:
        return self._handle.media_type

    async def read(self) -> bytes:
        return await self._handle.read()

    async def read_text(self) -> str:
        return await self._handle.read_text()

    def read_pieces(self, *, start: int = 0) -> AsyncIterator[bytes]:
        return self._handle.read_pieces(start=start)


class _ReadCollection(OnlyReading, CollectionReading[Any]):
    writes = CollectionHandle

    def __init__(self, handle: CollectionHandle[Any]) -> None:
        self._handle = handle

    async def get(self, name: str, /) -> ResourceReading[Any]:
        return _ReadResource(await self._handle.get(name))

    async def get_or_none(self, name: str, /) -> ResourceReading[Any] | None:
        found = await self._handle.get_or_none(name)
        return None if found is None else _ReadResource(found)

    async def list(
        self, prefix: str = "", *, limit: int = 50, after: str = ""
    ) -> Sequence[ResourceReading[Any]]:
        found = await self._handle.list(prefix, limit=limit, after=after)
        return [_ReadResource(one) for one in found]

    async def count(self) -> int:
        return await self._handle.count()
