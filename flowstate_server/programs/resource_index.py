"""What a flow declares of resources, to be found by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.resources import ResourceDescription


class ResourceIndex:
    """``singles`` are those that are no collections, by scope and name; scopes without any are not in it."""

    def __init__(self, described: Iterable[ResourceDescription]) -> None:
        singles: dict[ScopeKind, dict[str, ResourceDescription]] = {}
        self._collections: dict[ScopeKind, list[ResourceDescription]] = {}
        for one in described:
            if one.collection:
                self._collections.setdefault(one.scope, []).append(one)
            else:
                singles.setdefault(one.scope, {})[one.name] = one
        self.singles: Mapping[ScopeKind, Mapping[str, ResourceDescription]] = singles

    def find(self, scope: ScopeKind, name: str) -> ResourceDescription | None:
        """The declaration that a resource called ``name`` is under."""
        single = self.singles.get(scope, {}).get(name)
        if single is not None:
            return single
        return next((one for one in self._collections.get(scope, ()) if one.covers(name)), None)

    def shown_singles(self, scope: ScopeKind) -> Mapping[str, ResourceDescription]:
        """Those that clients see in snapshots, by name."""
        return {name: one for name, one in self.singles.get(scope, {}).items() if one.shown is not None}
