"""Which records and which names of them a caller is to be shown of a session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from flowstate_server.engine.bindings import Binding
from flowstate_server.engine.calls.sessions import Selector
from flowstate_server.engine.state_change import shared_scopes
from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.frozen import frozen
from flowstate_server.model.scopes import ScopeKey, ScopeKind, session_scope
from flowstate_server.programs.description import FlowDescription, ShownNames
from flowstate_server.programs.program import HostedFlow

SHOWN = (ScopeKind.SESSION, ScopeKind.USER, ScopeKind.ORG)


@frozen
class SessionView:
    """``names`` by scope; ``keys`` has the record of each of these scopes that the session has, ``resources`` the
    single resources that they are made of, where there are any."""

    binding: Binding
    flow: HostedFlow
    names: Mapping[ScopeKind, frozenset[str]]
    keys: Mapping[ScopeKind, ScopeKey]
    resources: Mapping[ScopeKind, tuple[str, ...]]


def session_view(binding: Binding, flow: HostedFlow, selectors: Sequence[Selector]) -> SessionView:
    """What ``selectors`` select, without any: all that the flow shows.

    Raises:
        ValidationFailedError: they name what the flow does not show.
    """
    names = _selected(flow.described, selectors)
    keys = {
        ScopeKind.SESSION: session_scope(binding.key),
        **shared_scopes(flow.described, binding.user_id, binding.org_id),
    }
    keys = {kind: keys[kind] for kind in names if kind in keys}
    return SessionView(binding, flow, names, keys, _resources(flow.described, names, keys))


def _selected(flow: FlowDescription, selectors: Sequence[Selector]) -> dict[ScopeKind, frozenset[str]]:
    """The names to show by scope."""
    offered = {
        kind: frozenset((*names.exposed, *names.derived, *resources))
        for kind, names, resources in _shown(flow)
    }
    if not selectors:
        return {kind: names for kind, names in offered.items() if names}
    selected: dict[ScopeKind, frozenset[str]] = {}
    for position, selector in enumerate(selectors):
        path = f"selectors[{position}]"
        if selector.scope in selected:
            raise _violation(f"{path}.scope", "duplicate", "must name each scope once")
        known = offered.get(selector.scope, frozenset())
        for index, name in enumerate(selector.names):
            if name not in known:
                raise _violation(
                    f"{path}.names[{index}]", "unknown_name", f'"{name}" is not shown to clients'
                )
        if known:
            selected[selector.scope] = frozenset(selector.names) or known
    return selected


def _shown(flow: FlowDescription) -> Iterator[tuple[ScopeKind, ShownNames, Iterable[str]]]:
    for kind in SHOWN:
        names = flow.shown.get(kind)
        resources = flow.resource_index.shown_singles(kind) if flow.resources else ()
        if names is not None or resources:
            yield kind, names or ShownNames(), resources


def _resources(
    flow: FlowDescription, names: Mapping[ScopeKind, frozenset[str]], kinds: Iterable[ScopeKind]
) -> Mapping[ScopeKind, tuple[str, ...]]:
    """The single resources that ``names`` are made of: those that are named, and for derived values all of a scope."""
    needed: dict[ScopeKind, tuple[str, ...]] = {}
    for kind in kinds if flow.resources else ():
        singles = flow.resource_index.singles.get(kind, {})
        derived = names[kind].intersection(flow.shown.get(kind, ShownNames()).derived)
        if wanted := tuple([name for name in singles if derived or name in names[kind]]):
            needed[kind] = wanted
    return needed


def _violation(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
