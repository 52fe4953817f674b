"""Whether what is stored fits the flows that are to be deployed: by flow, scope, field and key, never by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flowstate_server.engine.deploys.fields import StoredFields
from flowstate_server.engine.deploys.misfits import Misfits, Place
from flowstate_server.engine.deploys.samples import SAMPLE, TENANTS, Walk, tenants_of_sessions
from flowstate_server.engine.foreign_flows import Note, recorded
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import SessionRecord, StateRecord
from flowstate_server.model.scopes import (
    ScopeKey,
    ScopeKind,
    SessionKey,
    org_scope,
    session_scope,
    user_scope,
)
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.store import Store

KEYS = 100
"""Most keys that are named of one misfit; the others are counted."""


class Key(NamedTuple):
    """Whose record it is: the session, user or org."""

    tenant: str
    id: str


@dataclass(slots=True)
class Misfit:
    """Records that don't fit at one place."""

    place: Place
    count: int = 0
    keys: list[Key] = field(default_factory=list)


@dataclass(slots=True)
class Looked:
    """What was seen so far: records by scope, those that don't fit, those of flows that are not deployed, and the keys
    of those that can't be understood. ``notes`` are what should be known besides, when all was looked at."""

    records: Counter[str] = field(default_factory=Counter)
    misfits: dict[Place, Misfit] = field(default_factory=dict)
    of_other_flows: int = 0
    damaged: set[Any] = field(default_factory=set)
    notes: list[Note] = field(default_factory=list)

    def add(self, place: Place, record: ScopeKey) -> None:
        misfit = self.misfits.setdefault(place, Misfit(place))
        misfit.count += 1
        if len(misfit.keys) < KEYS:
            misfit.keys.append(Key(record.tenant, record.id))


async def look_at_records(
    store: Store,
    catalogue: Catalogue,
    *,
    every: bool = False,
    most: int = SAMPLE,
    report: Callable[[Looked], None] = lambda looked: None,
) -> Looked:
    """Look at a sample of the states of sessions, users and orgs, of each about ``most``, or at ``every`` one, as the
    flows of ``catalogue`` would read and write them, upgraded where they have an upgrade. Nothing is written.
    ``report`` is called after each page.

    Raises:
        TypeError: the store does not export.
    """
    exports = store.exports
    if exports is None:
        raise TypeError("the store does not export what it keeps")
    look = _Look(catalogue, StoredFields(await recorded(store), catalogue))
    async for sessions in _sessions(exports, look, most, every=every):
        await look.at_sessions(store, sessions)
        report(look.looked)
    for scope, key in ((ScopeKind.USER, user_scope), (ScopeKind.ORG, org_scope)):
        walk = Walk[StateRecord](
            exports,
            tables.STATES,
            key=key,
            id_of=lambda record: record.key.id,
            covers=lambda record, scope=scope: record.key.kind is scope,  # type: ignore[misc]
            on_damage=look.damaged,
        )
        async for records in walk.all() if every else walk.sample(most):
            await look.at_shared(records)
            report(look.looked)
    look.looked.notes = look.fields.notes()
    return look.looked


async def _sessions(
    exports: Exports, look: _Look, most: int, *, every: bool
) -> AsyncIterator[Sequence[SessionRecord]]:
    def walk(tenant: str, covers: Callable[[SessionRecord], bool]) -> Walk[SessionRecord]:
        return Walk(
            exports,
            tables.SESSIONS,
            key=lambda id: SessionKey(Tenant(tenant), id),
            id_of=lambda session: session.key.session_id,
            covers=covers,
            on_damage=look.damaged,
        )

    if every:
        async for page in walk(NO_TENANT, lambda _: True).all():
            yield page
        return
    tenants = await tenants_of_sessions(exports, TENANTS)
    for tenant in tenants:
        of_tenant = walk(tenant, lambda session, tenant=tenant: session.key.tenant == tenant)  # type: ignore[misc]
        async for page in of_tenant.sample(most // len(tenants)):
            yield page


class _Look:
    def __init__(self, catalogue: Catalogue, fields: StoredFields) -> None:
        self._catalogue = catalogue
        self._misfits = Misfits(catalogue)
        self.fields = fields
        self.looked = Looked()

    def damaged(self, damage: DamagedRecord) -> None:
        self.looked.damaged.add(damage.key)

    async def at_sessions(self, store: Store, sessions: Iterable[SessionRecord]) -> None:
        flows = {session_scope(session.key): session.flow_kind for session in sessions if not session.deleted}
        try:
            records = await store.load_states(flows)
        except StoreUnavailableError:
            raise
        except Exception:  # one that can't be understood spoils the read of all
            records = {key: one for key in flows for one in await self._one(store, key)}
        await self._judge([(record, flows[key]) for key, record in records.items() if record.exists])

    async def _one(self, store: Store, key: ScopeKey) -> Sequence[StateRecord]:
        try:
            return [(await store.load_states([key]))[key]]
        except StoreUnavailableError:
            raise
        except Exception:
            self.looked.damaged.add(key)
            return []

    async def at_shared(self, records: Iterable[StateRecord]) -> None:
        await self._judge([(record, record.key.flow_kind) for record in records if record.exists])

    async def _judge(self, records: Iterable[tuple[StateRecord, str]]) -> None:
        """Each with the kind of the flow whose record it is alone, if it is one's."""
        for record, flow_kind in records:
            scope = record.key.kind
            flow = self._flow(scope, flow_kind)
            sharing = self._catalogue.sharing(scope, flow)
            if (flow_kind and flow is None) or not sharing:
                self.looked.of_other_flows += 1
                continue
            self.looked.records[scope.value] += 1
            try:
                judged = await self._misfits.judged(record, sharing)
            except ValueError:  # it is no JSON
                self.looked.damaged.add(record.key)
                continue
            for place in judged.places:
                self.looked.add(place, record.key)
            if judged.record is not None:
                self.fields.see(judged.record, sharing, alone="" if flow is None else flow.kind)

    def _flow(self, scope: ScopeKind, flow_kind: str) -> FlowDescription | None:
        hosted = self._catalogue.find(flow_kind) if flow_kind else None
        if hosted is None or (scope is not ScopeKind.SESSION and not hosted.described.isolates(scope)):
            return None
        return hosted.described
