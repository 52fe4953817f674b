"""Flows as they are registered with the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowstate.v1 import flow_service_pb2
from flowstate_client.models import Scope, plain_value


@dataclass(frozen=True, slots=True)
class ActionInfo:
    """An action of a flow with the JSON Schemas of its input and output."""

    name: str
    description: str
    input_schema: Any
    output_schema: Any


@dataclass(frozen=True, slots=True)
class ScopeInfo:
    """What a flow keeps in one scope and shows of it; ``state_schema`` is for the trusted plane, else ``None``.

    ``generation`` is that of what the flow stores, 0 from servers that don't tell.
    """

    scope: Scope
    state_schema: Any
    exposed: tuple[str, ...]
    derived: tuple[str, ...]
    schema_hash: str
    generation: int


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """A resource, or a collection under a pattern of names, as a flow declares it, and what it shows of it: fields of
    its state as they are (none where clients see a computed view), its content, and live changes.

    ``state_schema`` is for the trusted plane, else ``None``.
    """

    name: str
    scope: Scope
    state_schema: Any
    exposed: tuple[str, ...]
    content_exposed: bool
    live: bool
    schema_hash: str


@dataclass(frozen=True, slots=True)
class FlowInfo:
    """A flow as registered with the server. Of its ``resources`` clients see those that it shows them."""

    flow_kind: str
    description: str
    actions: tuple[ActionInfo, ...]
    scopes: tuple[ScopeInfo, ...]
    isolate_user_state: bool
    isolate_org_state: bool
    revision: str
    resources: tuple[ResourceInfo, ...]

    @classmethod
    def from_proto(cls, flow: flow_service_pb2.Flow) -> FlowInfo:
        """The flow of a ``flowstate.v1.Flow``."""
        actions = tuple(
            ActionInfo(a.name, a.description, plain_value(a.input_schema), plain_value(a.output_schema))
            for a in flow.actions
        )
        scopes = tuple(
            ScopeInfo(
                Scope.from_proto(s.scope),
                plain_value(s.state_schema),
                tuple(s.exposed),
                tuple(s.derived),
                s.schema_hash,
                s.generation,
            )
            for s in flow.scopes
        )
        resources = tuple(
            ResourceInfo(
                one.name,
                Scope.from_proto(one.scope),
                plain_value(one.state_schema),
                tuple(one.exposed),
                one.content_exposed,
                one.live,
                one.schema_hash,
            )
            for one in flow.resources
        )
        return cls(
            flow_kind=flow.flow_kind,
            description=flow.description,
            actions=actions,
            scopes=scopes,
            isolate_user_state=flow.isolate_user_state,
            isolate_org_state=flow.isolate_org_state,
            revision=flow.revision,
            resources=resources,
        )
