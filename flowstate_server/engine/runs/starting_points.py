"""What a run of an action starts from: loaded in the commit that begins it."""

from __future__ import annotations

from collections.abc import Mapping

from flowstate_server.model.documents import DocumentKey
from flowstate_server.model.resources import ResourceOwner, resource_key
from flowstate_server.model.scopes import ScopeKey, ScopeKind, SessionKey, session_scope
from flowstate_server.programs.description import ActionDescription, FlowDescription


def loaded_scopes(
    flow: FlowDescription, action: ActionDescription, scopes: Mapping[ScopeKind, ScopeKey]
) -> tuple[ScopeKey, ...]:
    """Those of ``scopes`` in which the flow has fields or resources: their incarnation has to be known."""
    of_resources = {kind for kind, _ in action.resources} | {one.scope for one in flow.resources}
    return tuple([key for kind, key in scopes.items() if flow.schemas[kind].fields or kind in of_resources])


def loaded_resources(action: ActionDescription, session: SessionKey, log_id: str) -> tuple[DocumentKey, ...]:
    """The resources of the session that the action starts from; ``log_id`` is that of its log."""
    if not action.resources:
        return ()
    owner = ResourceOwner(session_scope(session), log_id)
    return tuple([resource_key(owner, name) for kind, name in action.resources if kind is ScopeKind.SESSION])
