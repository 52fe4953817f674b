"""Copying the resources of a user or org along with the state, between the shared and a private record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from flowstate_server.errors import ResourceAlreadyExistsError, VersionMismatchError
from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject, encode_json, same_json
from flowstate_server.model.resources import (
    ContentRecord,
    ResourceKey,
    ResourceOwner,
    ResourceRecord,
    resource_in,
    resource_key,
    resource_range,
)
from flowstate_server.model.scopes import ScopeKey
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.contract.resource_writes import (
    ChangeResource,
    Collected,
    ResourceChanged,
    ResourceMoved,
)
from flowstate_server.stores.contract.writes import AtVersion, Exists, Precondition, Write
from flowstate_server.stores.store import Store

MisfitT = TypeVar("MisfitT")

PAGE = 50


@frozen
class ResourcesCopied(Generic[MisfitT]):
    """Names of what was, or would be, copied, and of what was there already and says something else, or has ``misfits``
    to tell."""

    copied: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    misfits: tuple[MisfitT, ...] = ()


async def any_resource(store: Store, owner: ResourceOwner, wanted: Callable[[str], bool]) -> bool:
    """Whether there is one that is ``wanted``."""
    async for record in _resources(store, owner):
        if wanted(record.key.name):
            return True
    return False


async def copy_resources(
    store: Store,
    blobs: Blobs,
    source: ResourceOwner,
    target: ScopeKey,
    *,
    wanted: Callable[[str], bool],
    misfits: Callable[[str, JsonObject], Awaitable[Sequence[MisfitT]]],
    overwrite: bool,
    dry_run: bool,
) -> ResourcesCopied[MisfitT]:
    """Copy those that are ``wanted``, each by a commit of its own: a copy that was broken off goes on where it was.
    Those that have ``misfits`` stay behind.

    ``target`` has a record by now, unless nothing is to be written. Contents are copied, and shared by nobody.
    """
    state = (await store.load_states((target,)))[target]
    owner = ResourceOwner(target, state.incarnation) if state.exists else None
    copied: list[str] = []
    refused: list[str] = []
    unfit: list[MisfitT] = []
    async for record in _resources(store, source):
        name = record.key.name
        if not wanted(name):
            continue
        while True:
            known = await _known(store, owner, target, name)
            if known.exists and _same(record, known):
                break
            if known.exists and not overwrite:
                refused.append(name)
                break
            if found := await misfits(name, record.state):
                refused.append(name)
                unfit += found
                break
            if dry_run or owner is None:
                copied.append(name)
                break
            try:
                await _put(store, blobs, owner, record, known)
            except (VersionMismatchError, ResourceAlreadyExistsError, ResourceMoved):
                continue  # somebody wrote it just now
            copied.append(name)
            break
    return ResourcesCopied(tuple(copied), tuple(refused), tuple(unfit))


async def _resources(store: Store, owner: ResourceOwner) -> AsyncIterator[ResourceRecord]:
    after = ""
    while documents := await store.read_documents(resource_range(owner, limit=PAGE, after=after)):
        for record in those_understood(documents, lambda document: document.key, resource_in):
            yield record
        after = documents[-1].key.name[-1]


async def _known(store: Store, owner: ResourceOwner | None, target: ScopeKey, name: str) -> ResourceRecord:
    if owner is not None:
        key = resource_key(owner, name)
        if (document := (await store.load_documents((key,))).get(key)) is not None:
            return resource_in(document)
    return ResourceRecord(ResourceKey(target, name))


def _same(one: ResourceRecord, other: ResourceRecord) -> bool:
    return (
        same_json(one.state, other.state)
        and one.media_type == other.media_type
        and one.same_content(other.content)
    )


async def _put(
    store: Store, blobs: Blobs, owner: ResourceOwner, record: ResourceRecord, known: ResourceRecord
) -> None:
    writes: Sequence[Write] = ()
    content = known.content
    if not record.same_content(content):
        content = None
        if record.content is not None:
            complete = await blobs.copy(record.content.blob)
            writes, content = (complete,), ContentRecord(complete.key, complete.size, complete.sha256)
    precondition: Precondition = AtVersion(known.version) if known.exists else Exists(False)
    new = replace(record, content=content)
    change = ChangeResource(
        owner,
        record.key.name,
        lambda _: ResourceChanged(new.state, encode_json(new.state), new.content, new.media_type),
        Micros(0),  # nothing is deleted
        precondition=precondition,
        blob=None if content is None else content.blob,
        collected=Collected(record.collection) if record.collection else None,
    )
    await store.commit((*writes, change))
