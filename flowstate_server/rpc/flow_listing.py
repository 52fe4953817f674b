"""The flows of a server as callers see them, in pages by kind."""

from __future__ import annotations

from itertools import islice

from flowstate.v1 import flow_service_pb2 as pb
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.records.page_token import PageTokens, page_size
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import FlowDescription, ShownNames
from flowstate_server.programs.resources import ResourceDescription, ShownResource
from flowstate_server.rpc.codec.scopes import encode_scope_kind
from flowstate_server.rpc.json_values import encode_value


class FlowListing:
    """Keeps flows encoded: their schemas take a while to make and change only with the flow."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tokens = PageTokens(engine.settings.page_token_key)
        self._encoded: dict[tuple[str, Plane], pb.Flow] = {}

    def get(self, kind: str, plane: Plane) -> pb.Flow:
        flow = self._engine.catalogue.get(kind).described
        encoded = self._encoded.get((kind, plane))
        if encoded is None or encoded.revision != flow.revision:
            encoded = self._encoded[kind, plane] = _encoded(flow, plane)
        return encoded

    def page(self, principal: Principal, request: pb.ListFlowsRequest) -> pb.ListFlowsResponse:
        size = page_size(request.page_size, self._engine.settings)
        query = ["flows", principal.tenant]
        after = str(self._tokens.read([*query], request.page_token)) if request.page_token else ""
        kinds = list(islice((kind for kind in self._engine.catalogue.kinds() if kind > after), size + 1))
        reply = pb.ListFlowsResponse(flows=[self.get(kind, principal.plane) for kind in kinds[:size]])
        if len(kinds) > size:
            reply.next_page_token = self._tokens.make([*query], kinds[size - 1])
        return reply


def whole(flow: FlowDescription) -> pb.Flow:
    """Everything that there is to know of a flow."""
    return _encoded(flow, Plane.TRUSTED)


def _encoded(flow: FlowDescription, plane: Plane) -> pb.Flow:
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
            generation=flow.generation(scope).number,
        )
    for resource in sorted(flow.resources, key=lambda one: (one.scope.value, one.name)):
        if plane is Plane.TRUSTED or resource.shown is not None:
            _add_resource(wire, resource, plane)
    return wire


def _add_resource(wire: pb.Flow, resource: ResourceDescription, plane: Plane) -> None:
    shown = resource.shown or ShownResource()
    wire.resources.add(
        name=resource.name,
        scope=encode_scope_kind(resource.scope),
        state_schema=encode_value(resource.schema.json_schema()) if plane is Plane.TRUSTED else None,
        exposed=sorted(shown.exposed),
        content_exposed=shown.content,
        live=shown.live,
        schema_hash=resource.schema.hash,
    )
