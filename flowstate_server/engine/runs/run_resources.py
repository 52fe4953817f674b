"""The resources of a run's session, user and org: what it knows of each, and its way to the store."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from flowstate_server.engine.records.contents import Contents, ContentUpload
from flowstate_server.engine.records.resource_owners import FoundOwner, owner_in
from flowstate_server.engine.records.resource_races import PAUSE, RACES
from flowstate_server.engine.records.resource_writing import ResourceWriting, WriteTerms
from flowstate_server.engine.resource_change import KEPT, ResourceRules
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.run_scope import (
    CAS_SECONDS,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    KeyedLocks,
    RunScope,
)
from flowstate_server.errors import (
    ConcurrentModificationError,
    ResourceAlreadyExistsError,
    ResourceNotFoundError,
    ScopeUnavailableError,
    StoreUnavailableError,
    ValidationFailedError,
    VersionMismatchError,
    Violation,
)
from flowstate_server.model.documents import Document
from flowstate_server.model.frozen import frozen
from flowstate_server.model.ids import new_log_id
from flowstate_server.model.records import SessionRecord, StateRecord
from flowstate_server.model.resources import (
    ResourceKey,
    ResourceOwner,
    ResourceRecord,
    counts_in,
    counts_key,
    resource_in,
    resource_range,
)
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.resource_names import check_media_type, check_name, fixed_beginning
from flowstate_server.programs.resources import ResourceDescription, ResourceWrite, ResourceWritten
from flowstate_server.state.operations import Operation
from flowstate_server.stores.contract.blob_writes import BlobUnavailable
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.contract.resource_writes import ResourceMoved
from flowstate_server.stores.contract.writes import AtVersion, Exists, Precondition, Write, WriteResult
from flowstate_server.stores.store import Store

T = TypeVar("T")

# Resources that a list reads at once.
READ_AT_ONCE = 200


@frozen
class ResourceTools:
    """What all runs of an engine need for their resources. Contenders of one process queue at ``locks``."""

    store: Store
    catalogue: Catalogue
    writing: ResourceWriting
    contents: Contents
    locks: KeyedLocks[ResourceKey]
    max_state_bytes: int


class RunResources:
    """Implements ``programs.resources.ResourceAccess``. ``wanted`` are the single ones that the run starts from."""

    def __init__(
        self,
        scope: RunScope,
        session: SessionRecord,
        flow: FlowDescription,
        request: RequestKey,
        recorder: Recorder,
        tools: ResourceTools,
        wanted: tuple[str, ...] = (),
    ) -> None:
        self._scope = scope
        self._session = session
        self._flow = flow
        self._request = request
        self._recorder = recorder
        self._tools = tools
        self._wanted = wanted
        self._seen: dict[str, ResourceRecord] = {}

    def take(self, documents: Iterable[Document]) -> None:
        """Those of the session that were loaded with the request, of all that were wanted."""
        self._seen = {name: self._absent(name) for name in self._wanted}
        for document in documents:
            self._learn(resource_in(document))

    async def prepare(self) -> None:
        """Load what is wanted of a user or an org: in which incarnation they are is known only by now."""
        if self._wanted and not self._seen:
            owner = await self._owner()
            self._seen = {name: self._absent(name) for name in self._wanted}
            if owner.exists:
                self._seen |= await self._recorder.once_back(
                    lambda: self._tools.writing.load(owner.owner, self._wanted)
                )

    def loaded(self, name: str, /) -> ResourceRecord:
        record = self._seen.get(name)
        if record is None:
            raise LookupError(f"the {self._kind} resource {name!r} was not loaded with the request")
        return record

    async def load(self, name: str, /) -> ResourceRecord:
        self._rules(name)
        owner = await self._owner_now()
        if not owner.exists:
            return self._learn(self._absent(name))
        found = await self._recorder.once_back(lambda: self._tools.writing.load(owner.owner, (name,)))
        return self._learn(found[name])

    async def list(
        self, description: ResourceDescription, prefix: str = "", *, limit: int = 50, after: str = ""
    ) -> Sequence[ResourceRecord]:
        found: list[ResourceRecord] = []
        owner, fixed = await self._owner_now(), fixed_beginning(description.name)
        if not owner.exists or not (fixed.startswith(prefix) or prefix.startswith(fixed)):
            return found
        begins = max(fixed, prefix, key=len)
        while len(found) < limit:
            which = resource_range(owner.owner, limit=READ_AT_ONCE, prefix=begins, after=after)
            documents = await self._recorder.once_back(lambda: self._tools.store.read_documents(which))  # noqa: B023
            records = those_understood(documents, lambda document: document.key, resource_in)
            found += [record for record in records if description.covers(record.key.name)]
            if not documents:
                break
            after = documents[-1].key.name[-1]
        return found[:limit]

    async def count(self, description: ResourceDescription) -> int:
        if not description.collection:
            return int((await self.load(description.name)).exists)
        owner = await self._owner_now()
        key = counts_key(owner.owner)
        found = await self._recorder.once_back(lambda: self._tools.store.load_documents((key,)))
        return counts_in(found.get(key)).of(description.name)

    async def write(self, name: str, write: ResourceWrite, path: tuple[str, ...]) -> ResourceWritten:
        if write.media_type is not None:
            check_media_type("media_type", write.media_type)
        makes = not write.operations or write.content is not None or write.exists is False
        return await self._write(name, write, path, makes=makes)

    async def _write(
        self, name: str, write: ResourceWrite, path: tuple[str, ...], *, makes: bool
    ) -> ResourceWritten:
        rules = self._rules(name)
        terms = WriteTerms(_precondition(write), write.incarnation, self._request, path)
        tools = self._tools
        try:
            async with tools.contents.brought(self._request.tenant, write.content) as brought:

                async def writes(found: FoundOwner) -> Sequence[Write]:
                    change = await tools.writing.change(
                        found,
                        name,
                        rules,
                        write.operations,
                        terms,
                        content=brought.content or KEPT,
                        media_type=write.media_type,
                        makes=makes,
                    )
                    return (*brought.writes, change)

                done = await self._settled(name, writes)
                record = self._learn(self._record(name, done))
                brought.taken = record.content == brought.content
        except BlobUnavailable:
            problem = Violation(
                "content", "unavailable", "the upload is not finished, over its time, or in use"
            )
            raise ValidationFailedError((problem,)) from None
        return ResourceWritten(record, done.changed)

    async def swap(
        self, name: str, change: Callable[[ResourceRecord], Sequence[Operation]], path: tuple[str, ...]
    ) -> ResourceWritten:
        attempts = 0
        async with self._tools.locks.hold(ResourceKey(self._key, name)):
            end = time.monotonic() + CAS_SECONDS
            record = await self.load(name)
            while True:
                attempts += 1
                at = record.version if record.exists else None
                write = ResourceWrite(change(record), at=at, exists=None if record.exists else False)
                try:
                    return await self._write(name, write, path, makes=False)
                except (VersionMismatchError, ResourceAlreadyExistsError) as lost:
                    if attempts >= self._flow.cas_attempts and time.monotonic() >= end:
                        break
                    newest = lost.newest if isinstance(lost, VersionMismatchError) else None
                if attempts % 2 and isinstance(newest, ResourceRecord):
                    record = self._learn(newest)
                else:
                    await asyncio.sleep(random.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempts)))
                    record = await self.load(name)
        raise ConcurrentModificationError(self._kind, attempts)

    async def delete(
        self, name: str, path: tuple[str, ...], *, at: int | None = None, incarnation: str = ""
    ) -> ResourceWritten:
        rules = self._rules(name)
        terms = WriteTerms(None if at is None else AtVersion(at), incarnation, self._request, path)
        if not (await self._owner(writing=True)).exists and at is None and not incarnation:
            return ResourceWritten(self._absent(name), changed=False)

        async def writes(found: FoundOwner) -> Sequence[Write]:
            free = at is None and not incarnation
            return (await self._tools.writing.deletion(found.owner, name, rules, terms, allow_missing=free),)

        done = await self._settled(name, writes)
        return ResourceWritten(self._learn(self._record(name, done)), done.changed)

    async def upload(self) -> ContentUpload:
        tenant = self._request.tenant
        return await self._recorder.once_back(lambda: self._tools.contents.upload(tenant))

    def read(self, record: ResourceRecord, *, start: int = 0) -> AsyncIterator[bytes]:
        return self._tools.contents.read(record, start)

    @property
    def _kind(self) -> ScopeKind:
        return self._key.kind

    @property
    def _key(self) -> ScopeKey:
        return self._scope.key

    def _rules(self, name: str) -> ResourceRules:
        check_name("name", name)
        described = self._flow.resource_index.find(self._kind, name)
        if described is None:
            raise ResourceNotFoundError(self._kind.value, name)
        tools = self._tools
        return ResourceRules.of(self._flow, described, tools.max_state_bytes, tools.catalogue)

    def _absent(self, name: str) -> ResourceRecord:
        return ResourceRecord(ResourceKey(self._key, name))

    def _record(self, name: str, done: WriteResult) -> ResourceRecord:
        return self._absent(name) if done.document is None else resource_in(done.document)

    def _learn(self, record: ResourceRecord) -> ResourceRecord:
        name = record.key.name
        if name in self._seen or name in self._wanted:
            self._seen[name] = record
        return record

    async def _owner(self, *, writing: bool = False) -> FoundOwner:
        if self._kind is ScopeKind.SESSION:
            return FoundOwner(ResourceOwner(self._key, self._session.log_id))
        known = self._scope.incarnation
        if known is not None:
            return FoundOwner(ResourceOwner(self._key, known))
        record = await self._owning_record()
        if writing or self._scope.absent_at is None:
            await self._scope.meet(record)
        return owner_in(record, self._scope.rules, self._scope.absent_at)

    async def _owner_now(self) -> FoundOwner:
        """For those who read: nothing is there of a user or org who was deleted since the run met them."""
        owner = await self._owner()
        if self._kind is ScopeKind.SESSION or self._scope.incarnation is None:
            return owner
        record = await self._owning_record()
        if record.exists and record.incarnation == owner.owner.incarnation:
            return owner
        return FoundOwner(ResourceOwner(self._key, new_log_id()), founds=())

    async def _owning_record(self) -> StateRecord:
        loaded = await self._recorder.once_back(lambda: self._tools.store.load_states((self._key,)))
        return loaded[self._key]

    async def _settled(
        self, name: str, writes: Callable[[FoundOwner], Awaitable[Sequence[Write]]]
    ) -> WriteResult:
        """Commit ``writes``, made anew as long as what they go by is moved by others."""
        for number in range(RACES):
            found = await self._owner(writing=True)
            try:
                result = await self._recorder.write(*await writes(found))
            except ResourceMoved:
                await self._look_again(found)
                await asyncio.sleep(random.uniform(0, PAUSE) * bool(number))
                continue
            if self._kind is not ScopeKind.SESSION and result.results[-1].version:
                self._scope.note_incarnation(found.owner.incarnation)
            return result.results[-1]
        raise StoreUnavailableError

    async def _look_again(self, found: FoundOwner) -> None:
        """
        Raises:
            ScopeUnavailableError: the record that the run goes by was deleted.
        """
        if self._kind is ScopeKind.SESSION or not found.exists:
            return
        record = await self._owning_record()
        if not record.exists or record.incarnation != found.owner.incarnation:
            raise ScopeUnavailableError(self._kind.value, "it was deleted")


def _precondition(write: ResourceWrite) -> Precondition | None:
    if write.at is not None:
        return AtVersion(write.at)
    return None if write.exists is None else Exists(write.exists)
