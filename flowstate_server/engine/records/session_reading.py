"""One consistent read of what is to be shown of a session: records, and the resources that go with them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import field

from flowstate_server.engine.records.session_view import SessionView
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.frozen import frozen
from flowstate_server.model.resources import (
    ResourceKey,
    ResourceOwner,
    ResourceRecord,
    resource_in,
    resource_key,
)
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.stores.contract.pages import understood_one
from flowstate_server.stores.contract.reads import Projection
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when a user's or org's record was made or deleted just then.
RACES = 5
# Users and orgs whose incarnation is remembered. One that was forgotten costs a second read.
REMEMBERED = 10_000

Resources = Mapping[str, ResourceRecord]


@frozen
class SessionRead:
    """``resources`` by scope and name, one that does not exist included: all that the view needs."""

    projection: Projection
    resources: Mapping[ScopeKind, Resources] = field(default_factory=dict)


class SessionReading:
    """The documents of a user or org are named by the incarnation of the record that is read along with them. So it is
    remembered, and what was read by an old one is read again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._incarnations: OrderedDict[ScopeKey, str] = OrderedDict()

    async def read(self, view: SessionView) -> SessionRead | None:
        """What the view needs; ``None`` unless the session lives, in whatever incarnation."""
        key = view.binding.key
        if not view.resources:
            read = await self._store.read_projection(key, view.keys.values())
            return None if read is None else SessionRead(read)
        for _ in range(RACES):
            owners = self._owners(view)
            names = {
                resource_key(owner, name): (kind, name)
                for kind, owner in owners.items()
                for name in view.resources[kind]
            }
            read = await self._store.read_projection(key, view.keys.values(), names)
            if read is None:
                return None
            if read.session.log_id != view.binding.log_id:
                return SessionRead(read)
            if self._learn(view, read, owners):
                continue
            found: dict[ScopeKind, dict[str, ResourceRecord]] = {
                kind: {name: ResourceRecord(ResourceKey(view.keys[kind], name)) for name in wanted}
                for kind, wanted in view.resources.items()
            }
            for place, document in read.documents.items():
                kind, name = names[place]
                found[kind][name] = understood_one(place, document, resource_in)
            return SessionRead(read, found)
        raise StoreUnavailableError

    def _owners(self, view: SessionView) -> dict[ScopeKind, ResourceOwner]:
        owners = {}
        for kind in view.resources:
            key = view.keys[kind]
            incarnation = view.binding.log_id if kind is ScopeKind.SESSION else self._incarnations.get(key)
            if incarnation:
                owners[kind] = ResourceOwner(key, incarnation)
        return owners

    def _learn(self, view: SessionView, read: Projection, owners: Mapping[ScopeKind, ResourceOwner]) -> bool:
        """Whether a record is in another incarnation than it was read by."""
        moved = False
        for kind in view.resources:
            if kind is ScopeKind.SESSION:
                continue
            key = view.keys[kind]
            state, owner = read.states[key], owners.get(kind)
            incarnation = state.incarnation if state.exists else ""
            if incarnation != ("" if owner is None else owner.incarnation):
                moved = True
                self._remember(key, incarnation)
        return moved

    def _remember(self, key: ScopeKey, incarnation: str) -> None:
        self._incarnations.pop(key, None)
        if incarnation:
            self._incarnations[key] = incarnation
            if len(self._incarnations) > REMEMBERED:
                self._incarnations.popitem(last=False)
