"""What a run gives to its program of resources, in dictionaries: for tests of the program alone."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from flowstate_server.errors import (
    ResourceAlreadyExistsError,
    ResourceDeletedError,
    VersionMismatchError,
)
from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.events import Event
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.ids import random_id
from flowstate_server.model.resources import ContentRecord, ResourceKey, ResourceRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.programs.resources import ResourceDescription, ResourceWrite, ResourceWritten
from flowstate_server.state.apply import apply
from flowstate_server.state.operations import Operation


class KeptResources:
    """Implements ``ResourceAccess`` for one owner. ``calls`` has the names of its methods, in order."""

    def __init__(self, scope: ScopeKind, described: Sequence[ResourceDescription]) -> None:
        self.described = [one for one in described if one.scope is scope]
        self.scope = ScopeKey(scope, NO_TENANT, "owner")
        self.records: dict[str, ResourceRecord] = {}
        self.blobs: dict[BlobKey, list[bytes]] = {}
        self.calls: list[str] = []

    def loaded(self, name: str, /) -> ResourceRecord:
        return self._record(name)

    async def load(self, name: str, /) -> ResourceRecord:
        self.calls.append("load")
        return self._record(name)

    async def list(
        self, description: ResourceDescription, prefix: str = "", *, limit: int = 50, after: str = ""
    ) -> Sequence[ResourceRecord]:
        found = [name for name in sorted(self.records) if description.covers(name)]
        found = [name for name in found if name.startswith(prefix) and name > after]
        return [self.records[name] for name in found if self.records[name].exists][:limit]

    async def count(self, description: ResourceDescription) -> int:
        return len(await self.list(description, limit=1_000))

    async def write(self, name: str, write: ResourceWrite, path: tuple[str, ...]) -> ResourceWritten:
        self.calls.append("write")
        before = self._record(name)
        if write.incarnation and (not before.exists or before.incarnation != write.incarnation):
            raise ResourceDeletedError(self.scope.kind, name)
        if write.exists is False and before.exists:
            raise ResourceAlreadyExistsError(self.scope.kind, name)
        if write.at is not None and before.version != write.at:
            raise VersionMismatchError(self.scope.kind, str(write.at), before.version)
        schema = next(one.schema for one in self.described if one.covers(name))
        applied = apply(before.state, write.operations, schema)
        state = schema.check(applied.state, applied.fields, before.state)
        content = before.content if write.content is None else self._content(write.content)
        after = ResourceRecord(
            before.key,
            before.version + 1,
            before.incarnation if before.exists else random_id("inc_"),
            exists=True,
            state=state,
            content=content,
            media_type=before.media_type if write.media_type is None else write.media_type,
        )
        same = (after.state, after.media_type) == (before.state, before.media_type)
        if before.exists and same and _sha256(content) == _sha256(before.content):
            return ResourceWritten(before, changed=False)
        self.records[name] = after
        return ResourceWritten(after, changed=True)

    async def swap(
        self, name: str, change: Callable[[ResourceRecord], Sequence[Operation]], path: tuple[str, ...]
    ) -> ResourceWritten:
        return await self.write(name, ResourceWrite(change(self._record(name))), path)

    async def delete(
        self, name: str, path: tuple[str, ...], *, at: int | None = None, incarnation: str = ""
    ) -> ResourceWritten:
        before = self._record(name)
        if incarnation and before.incarnation != incarnation:
            raise ResourceDeletedError(self.scope.kind, name)
        if before.exists:
            self.records[name] = ResourceRecord(before.key, before.version + 1, before.incarnation)
        return ResourceWritten(self._record(name), before.exists)

    async def upload(self) -> _KeptUpload:
        self.calls.append("upload")
        return _KeptUpload(self)

    async def read(self, record: ResourceRecord, *, start: int = 0) -> AsyncIterator[bytes]:
        assert record.content is not None
        whole = b"".join(self.blobs[record.content.blob])[start:]
        for at in range(0, len(whole), 4):
            yield whole[at : at + 4]

    def _record(self, name: str) -> ResourceRecord:
        return self.records.get(name, ResourceRecord(ResourceKey(self.scope, name)))

    def _content(self, content: bytes | BlobKey) -> ContentRecord:
        if isinstance(content, bytes):
            blob = self.new_blob()
            self.blobs[blob] = [content]
        else:
            blob = content
        whole = b"".join(self.blobs[blob])
        return ContentRecord(blob, len(whole), hashlib.sha256(whole).hexdigest())

    def new_blob(self) -> BlobKey:
        return BlobKey(NO_TENANT, random_id("blob_"))


class _KeptUpload:
    def __init__(self, kept: KeptResources) -> None:
        self._blob = kept.new_blob()
        self._pieces = kept.blobs[self._blob] = []

    @property
    def size(self) -> int:
        return sum(map(len, self._pieces))

    async def append(self, data: bytes, /) -> None:
        self._pieces.append(data)

    async def finish(self) -> BlobKey:
        return self._blob


class ResourcesRun:
    """A run that has resources and nothing else; give it to ``Program.execute``."""

    request_id = "req_1"
    ending = False

    def __init__(
        self, described: Sequence[ResourceDescription], scopes: Sequence[ScopeKind] = tuple(ScopeKind)
    ) -> None:
        self.resources = {scope: KeptResources(scope, described) for scope in scopes}
        self.scopes: dict[ScopeKind, Any] = {}
        self.events: list[Event] = []

    def hold(self, event: Event) -> None:
        self.events.append(event)

    def observe_block(self, path: tuple[str, ...], **told: Any) -> None: ...


def _sha256(content: ContentRecord | None) -> str:
    return "" if content is None else content.sha256
