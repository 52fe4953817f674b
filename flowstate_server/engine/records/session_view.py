"""Which records and which names of them a caller is to be shown of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowstate_server.engine.bindings import Binding
from flowstate_server.engine.calls.sessions import Selector
from flowstate_server.engine.state_change import shared_scopes
from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.frozen import frozen
from flowstate_server.model.scopes import ScopeKey, ScopeKind, session_scope
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.program import HostedFlow

SHOWN = (ScopeKind.SESSION, ScopeKind.USER, ScopeKind.ORG)


@frozen
class SessionView:
    """``names`` by scope; ``keys`` has the record of each of these scopes that the session has."""

    binding: Binding
    flow: HostedFlow
    names: Mapping[ScopeKind, frozenset[str]]
    keys: Mapping[ScopeKind, ScopeKey]


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
    return SessionView(binding, flow, names, {kind: keys[kind] for kind in names if kind in keys})


def _selected(flow: FlowDescription, selectors: Sequence[Selector]) -> dict[ScopeKind, frozenset[str]]:
    """The names to show by scope."""
    offered = {
        kind: frozenset((*names.exposed, *names.derived))
        for kind in SHOWN
        if (names := flow.shown.get(kind)) is not None
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
                raise _violation(f"{path}.names[{index}]", "unknown_name", "is not shown to clients")
        if known:
            selected[selector.scope] = frozenset(selector.names) or known
    return selected


def _violation(path: str, rule: str, message: str) -> ValidationFailedError:
    return ValidationFailedError((Violation(path, rule, message),))
