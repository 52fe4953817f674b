"""Flows: what callers may know of them."""

from __future__ import annotations

from flowstate.v1 import flow_service_pb2 as pb
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.model.identity import Plane
from flowstate_server.rpc.codec.scopes import encode_scope_kind
from flowstate_server.rpc.json_values import encode_value


def encode_flow(registry: FlowRegistry, kind: str, plane: Plane) -> pb.Flow:
    """A registered flow; state schemas are for the trusted plane only.

    Raises:
        FlowNotFoundError: no such flow.
    """
    flow = registry.get(kind)
    wire = pb.Flow(
        flow_kind=flow.kind,
        description=flow.description,
        isolate_user_state=flow.isolate_user_state,
        isolate_org_state=flow.isolate_org_state,
        revision=flow.revision,
    )
    for name, action in sorted(flow.actions.items()):
        wire.actions.add(
            name=name,
            description=action.description,
            input_schema=encode_value(action.input_schema()),
            output_schema=encode_value(action.output_schema()),
        )
    for scope, schema in flow.schemas.items():
        if not schema.fields:
            continue
        view = flow.client_views.get(scope)
        wire.scopes.add(
            scope=encode_scope_kind(scope),
            state_schema=encode_value(schema.json_schema()) if plane is Plane.TRUSTED else None,
            exposed=view.expose if view else (),
            derived=sorted(view.derived) if view else (),
            schema_hash=schema.hash,
        )
    return wire
