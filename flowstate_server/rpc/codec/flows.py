"""Flows: what callers may know of them."""

from __future__ import annotations

from flowstate.v1 import flow_service_pb2 as pb
from flowstate_server.model.identity import Plane
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import FlowDescription, ShownNames
from flowstate_server.rpc.codec.scopes import encode_scope_kind
from flowstate_server.rpc.json_values import encode_value


def encode_flow(flow: FlowDescription, plane: Plane) -> pb.Flow:
    """A flow as ``plane`` may know it; state schemas are for the trusted plane only."""
    wire = pb.Flow(
        flow_kind=flow.kind,
        description=flow.description,
        isolate_user_state=flow.isolates(ScopeKind.USER),
        isolate_org_state=flow.isolates(ScopeKind.ORG),
        revision=flow.revision,
    )
    for name, action in sorted(flow.actions.items()):
        wire.actions.add(
            name=name,
            description=action.description,
            input_schema=encode_value(action.input_schema),
            output_schema=encode_value(action.output_schema),
        )
    for scope, schema in flow.schemas.items():
        if not schema.fields:
            continue
        names = flow.shown.get(scope, ShownNames())
        wire.scopes.add(
            scope=encode_scope_kind(scope),
            state_schema=encode_value(schema.json_schema()) if plane is Plane.TRUSTED else None,
            exposed=names.exposed,
            derived=sorted(names.derived),
            schema_hash=schema.hash,
        )
    return wire
