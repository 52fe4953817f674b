"""Copying what users or orgs have between the record that flows share and the private one of a flow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from typing import Literal, Protocol

from flowstate_server.errors import VersionMismatchError
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.json_values import JsonObject, encode_json, same_json
from flowstate_server.model.records import Generations, StateRecord
from flowstate_server.model.resources import ResourceOwner
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.stores.blobs import Blobs
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.contract.tables import STATES
from flowstate_server.stores.contract.tombstone_writes import Withheld, Withhold
from flowstate_server.stores.contract.writes import (
    NO_CHANGE,
    AtVersion,
    Changed,
    ChangeState,
    Exists,
    NoChange,
    Write,
)
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer.copy import CopyRefused
from flowstate_server.stores.transfer.pages import pages
from flowstate_server.stores.transfer.resource_copy import any_resource, copy_resources

Scope = Literal["user", "org"]


class Outcome(StrEnum):
    COPIED = "copied"
    SAME = "same"
    REFUSED = "refused"
    ABSENT = "absent"


class Misfit(Protocol):
    """What a flow does not take: ``field`` is empty where it is the record as a whole, ``rule`` is what it breaks."""

    @property
    def flow(self) -> str: ...
    @property
    def field(self) -> str: ...
    @property
    def rule(self) -> str: ...


class Fit(Protocol):
    """Judges what would be stored in the record that is copied to."""

    async def misfits(self, record: StateRecord, /) -> Sequence[Misfit]: ...

    async def misfits_of_resource(self, name: str, state: JsonObject, /) -> Sequence[Misfit]: ...


class _FitsAlways:
    async def misfits(self, _: StateRecord, /) -> Sequence[Misfit]:
        return ()

    async def misfits_of_resource(self, _: str, __: JsonObject, /) -> Sequence[Misfit]:
        return ()


@frozen
class StateCopy:
    """What to copy: the record of ``id``, or of all users or orgs if that is empty, from the shared to the private one
    of ``flow_kind`` (``to_isolated``) or the other way, ``without`` the fields that only other flows declare.

    A record that is there already and says something else is left alone, or with ``overwrite`` gets the fields that the
    other one has; its other fields stay. Resources go along, those whose names ``resources`` picks; one that is there
    already and says something else is left alone, or replaced. What does not ``fit`` the flows that read it there is
    left alone, too, a record as a whole. ``dry_run``: only find out what would become of it.
    """

    scope: Scope
    flow_kind: str
    to_isolated: bool
    id: str = ""
    without: frozenset[str] = frozenset()
    overwrite: bool = False
    dry_run: bool = False
    resources: Callable[[str], bool] = lambda _: True
    fit: Fit = _FitsAlways()

    def source(self, id: str) -> ScopeKey:
        return ScopeKey(ScopeKind(self.scope), NO_TENANT, id, "" if self.to_isolated else self.flow_kind)

    def target(self, id: str) -> ScopeKey:
        return ScopeKey(ScopeKind(self.scope), NO_TENANT, id, self.flow_kind if self.to_isolated else "")


@frozen
class CopiedState:
    """``fields`` and ``resources`` are the names of what was, or would be, copied, ``refused`` those of resources that
    were left alone, ``misfits`` why, unless something else is there already."""

    id: str
    outcome: Outcome
    fields: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    misfits: tuple[Misfit, ...] = ()


async def copy_states(
    store: Store, copy: StateCopy, *, blobs: BlobPieces | None = None
) -> AsyncIterator[CopiedState]:
    """Copy one record after the other, each by a commit of its own, also while the store is served.

    ``blobs`` keeps the content of resources, ``None``: the store itself.

    Raises:
        CopyRefused: the store can't tell whom it has records of.
    """
    if copy.id:
        yield await _copied(store, copy, copy.id, blobs)
        return
    if store.exports is None:
        raise CopyRefused("the store does not export what it keeps: name the records one by one")
    # Before all others of the scope: nobody has an empty id.
    async for page in pages(store.exports, STATES, after=ScopeKey(ScopeKind(copy.scope), NO_TENANT, "")):
        for record in page:
            if record.key.kind is not ScopeKind(copy.scope):
                return
            if record.exists and record.key == copy.source(record.key.id):
                yield await _copied(store, copy, record.key.id, blobs)


async def _copied(store: Store, copy: StateCopy, id: str, blobs: BlobPieces | None) -> CopiedState:
    while True:
        key = copy.source(id)
        source = (await store.load_states((key,)))[key]
        if not source.exists or not await _has_any(store, copy, source):
            return CopiedState(id, Outcome.ABSENT)
        try:
            told = await _written(store, copy, id, source)
        except VersionMismatchError:
            continue  # somebody wrote the source or the target just now
        if told.outcome is Outcome.REFUSED:
            return told
        resources = await copy_resources(
            store,
            Blobs(store, blobs),
            ResourceOwner(key, source.incarnation),
            copy.target(id),
            wanted=copy.resources,
            misfits=copy.fit.misfits_of_resource,
            overwrite=copy.overwrite,
            dry_run=copy.dry_run,
        )
        if resources.refused:
            outcome = Outcome.REFUSED
        else:
            outcome = Outcome.COPIED if resources.copied else told.outcome
        return CopiedState(
            id, outcome, told.fields, resources.copied, resources.refused, tuple(resources.misfits)
        )


async def _has_any(store: Store, copy: StateCopy, source: StateRecord) -> bool:
    if any(name not in copy.without for name in source.state):
        return True
    return await any_resource(store, ResourceOwner(source.key, source.incarnation), copy.resources)


async def _written(store: Store, copy: StateCopy, id: str, source: StateRecord) -> CopiedState:
    brought = {name: value for name, value in source.state.items() if name not in copy.without}
    fields = tuple(sorted(brought))
    key = copy.target(id)
    target = (await store.load_states((key,)))[key]
    merged: JsonObject = {**target.state, **brought}
    if target.exists and same_json(merged, target.state):
        return CopiedState(id, Outcome.SAME, fields)
    if target.exists and not copy.overwrite:
        return CopiedState(id, Outcome.REFUSED, fields)
    generations = _generations(source, target, copy.flow_kind)
    schema_hash = target.schema_hash or source.schema_hash
    misfits = await _misfits(copy, target, merged, generations, brought)
    if misfits:
        return CopiedState(id, Outcome.REFUSED, fields, misfits=misfits)
    changed = Changed(merged, encode_json(merged), (), generations, schema_hash)
    batch: list[Write] = [
        ChangeState(source.key, _unchanged, AtVersion(source.version, source.incarnation)),
        ChangeState(
            key,
            lambda _: changed,
            AtVersion(target.version, target.incarnation) if target.exists else Exists(False),
        ),
    ]
    if copy.dry_run:
        batch.append(Withhold())
    with suppress(Withheld):
        await store.commit(tuple(batch))
    return CopiedState(id, Outcome.COPIED, fields)


async def _misfits(
    copy: StateCopy,
    target: StateRecord,
    merged: JsonObject,
    generations: Generations,
    brought: JsonObject,
) -> tuple[Misfit, ...]:
    """Those that the copy would make: what the target has already is not its fault."""
    found = await copy.fit.misfits(
        replace(target, exists=True, text=encode_json(merged), generations=generations)
    )
    if not found or not target.exists:
        return tuple(found)
    known = await copy.fit.misfits(target)
    return tuple(one for one in found if one.field in brought or one not in known)


def _generations(source: StateRecord, target: StateRecord, flow_kind: str) -> Generations:
    """An upgrade may be given again what it has made: the oldest that is in the record counts."""
    known = dict(target.generations) if target.exists else {}
    brought = dict(source.generations).get(flow_kind, 1)
    return tuple(sorted({**known, flow_kind: min(brought, known.get(flow_kind, brought))}.items()))


def _unchanged(_: StateRecord) -> NoChange:
    return NO_CHANGE
