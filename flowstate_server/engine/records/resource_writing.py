"""What a write of a resource has to know ahead, whoever writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowstate_server.engine.records.resource_owners import FoundOwner
from flowstate_server.engine.rehearsals import Rehearsals, Rehearsed, brings_all, may_take_long
from flowstate_server.engine.resource_change import KEPT, NewContent, ResourceRules, resource_change, state_of
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.clock import micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import StateRecord
from flowstate_server.model.resources import (
    PlacedResource,
    ResourceKey,
    ResourceOwner,
    ResourceRecord,
    counts_in,
    counts_key,
    oldest_places,
    placed,
    resource_in,
    resource_key,
)
from flowstate_server.model.scopes import RequestKey
from flowstate_server.state.operations import Operation
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.resource_writes import ChangeResource, Collected, DeleteResource
from flowstate_server.stores.contract.writes import Precondition
from flowstate_server.stores.store import Store


@frozen
class WriteTerms:
    """On what terms a write is made: a precondition, the incarnation that it means (empty: any), on whose behalf, and
    by which block."""

    precondition: Precondition | None = None
    incarnation: str = ""
    request: RequestKey | None = None
    path: tuple[str, ...] = ()


NO_TERMS = WriteTerms()


class ResourceWriting:
    def __init__(self, store: Store, settings: EngineSettings, rehearsals: Rehearsals) -> None:
        self._store = store
        self._remembered = micros(settings.tombstone_retention)
        self._rehearsals = rehearsals

    async def load(self, owner: ResourceOwner, names: Iterable[str]) -> Mapping[str, ResourceRecord]:
        """The newest records, of what is not there one that does not exist."""
        names = tuple(names)
        documents = await self._store.load_documents([resource_key(owner, name) for name in names])
        found = {
            key.name[5]: understood_one(key, document, resource_in) for key, document in documents.items()
        }
        return {name: found.get(name) or ResourceRecord(ResourceKey(owner.scope, name)) for name in names}

    async def change(
        self,
        found: FoundOwner,
        name: str,
        rules: ResourceRules,
        operations: Sequence[Operation],
        terms: WriteTerms = NO_TERMS,
        *,
        content: NewContent = KEPT,
        media_type: str | None = None,
        makes: bool = True,
    ) -> ChangeResource:
        """
        Raises:
            StateValidationError: code that validates what is written took too long.
        """
        rehearsed = await self._rehearsed(found, name, rules, operations)
        change = resource_change(
            operations,
            rules,
            terms.path,
            content=content,
            media_type=media_type,
            makes=makes,
            rehearsed=rehearsed,
        )
        return ChangeResource(
            found.owner,
            name,
            change,
            self._remembered,
            precondition=terms.precondition,
            incarnation=terms.incarnation,
            request=terms.request,
            blob=_blob_of(content),
            collected=await self._collected(found, name, rules),
            gone=rules.gone(terms.path),
            founds=found.founds,
            absent_at=found.absent_at,
        )

    async def deletion(
        self,
        owner: ResourceOwner,
        name: str,
        rules: ResourceRules | None,
        terms: WriteTerms = NO_TERMS,
        *,
        allow_missing: bool = False,
    ) -> DeleteResource:
        """Without ``rules`` nobody declares it any more, and nobody is told."""
        record = (await self.load(owner, (name,)))[name]
        return DeleteResource(
            owner,
            name,
            record.number,
            self._remembered,
            precondition=terms.precondition,
            incarnation=terms.incarnation,
            allow_missing=allow_missing,
            collection=record.collection,
            request=terms.request,
            gone=_nothing if rules is None else rules.gone(terms.path),
        )

    async def _rehearsed(
        self, found: FoundOwner, name: str, rules: ResourceRules, operations: Sequence[Operation]
    ) -> Rehearsed | None:
        if not may_take_long(operations, rules.schema):
            return None
        record = StateRecord(found.owner.scope)
        if found.exists and not brings_all(operations, rules.schema):
            record = state_of((await self.load(found.owner, (name,)))[name])
        return await self._rehearsals.of(operations, rules.schema, record)

    async def _collected(self, found: FoundOwner, name: str, rules: ResourceRules) -> Collected | None:
        described, pattern = rules.described, rules.collection
        if not pattern:
            return None
        oldest = None
        if described.evicts and described.max_instances is not None and found.exists:
            oldest = await self._oldest(found.owner, name, pattern, described.max_instances)
        return Collected(pattern, described.max_instances, described.evicts, oldest)

    async def _oldest(
        self, owner: ResourceOwner, name: str, pattern: str, most: int
    ) -> PlacedResource | None:
        """The one that goes if ``name`` is to be made."""
        key, counts = resource_key(owner, name), counts_key(owner)
        documents = await self._store.load_documents((key, counts))
        if key in documents or counts_in(documents.get(counts)).of(pattern) < most:
            return None
        places = await self._store.read_documents(oldest_places(owner, pattern, 1))
        return placed(places[0]) if places else None


def _blob_of(content: NewContent) -> BlobKey | None:
    return None if content is KEPT or content is None else content.blob


def _nothing(_: ResourceRecord) -> tuple[()]:
    return ()
