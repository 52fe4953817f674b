"""Owners of resources in the incarnation that they have."""

from __future__ import annotations

from flowstate_server.engine.state_change import ChangeRules
from flowstate_server.model.frozen import frozen
from flowstate_server.model.ids import new_log_id
from flowstate_server.model.records import Generations, StateRecord
from flowstate_server.model.resources import ResourceOwner
from flowstate_server.model.scopes import ScopeKey
from flowstate_server.stores.store import Store


@frozen
class FoundOwner:
    """``founds`` are the generations of the record that the first write makes, where the user or org has none yet:
    nothing is there to be read. ``absent_at`` is the version at which a run has known it to be absent."""

    owner: ResourceOwner
    founds: Generations | None = None
    absent_at: int | None = None

    @property
    def exists(self) -> bool:
        return self.founds is None


async def find_owner(store: Store, scope: ScopeKey, rules: ChangeRules) -> FoundOwner:
    """The user or org of ``scope``; ``rules`` are those of its state."""
    return owner_in((await store.load_states((scope,)))[scope], rules)


def owner_in(record: StateRecord, rules: ChangeRules, absent_at: int | None = None) -> FoundOwner:
    """The owner whose state record was read."""
    if record.exists:
        return FoundOwner(ResourceOwner(record.key, record.incarnation))
    founds = rules.upgrades.written(record, rules.writer) or ()
    return FoundOwner(ResourceOwner(record.key, new_log_id()), founds, absent_at)
