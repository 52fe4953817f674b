"""The flows of a server as callers see them, in pages by kind."""

from __future__ import annotations

from itertools import islice

from flowstate.v1 import flow_service_pb2 as pb
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.records.page_token import PageTokens, page_size
from flowstate_server.model.identity import Plane, Principal
from flowstate_server.rpc.codec.flows import encode_flow


class FlowListing:
    """Keeps flows encoded: their schemas take a while to make and change only with the flow."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tokens = PageTokens(engine.settings.page_token_key)
        self._encoded: dict[tuple[str, Plane], pb.Flow] = {}

    def get(self, kind: str, plane: Plane) -> pb.Flow:
        flow = self._engine.registry.get(kind).described
        encoded = self._encoded.get((kind, plane))
        if encoded is None or encoded.revision != flow.revision:
            encoded = self._encoded[kind, plane] = encode_flow(flow, plane)
        return encoded

    def page(self, principal: Principal, request: pb.ListFlowsRequest) -> pb.ListFlowsResponse:
        size = page_size(request.page_size, self._engine.settings)
        query = ["flows", principal.tenant]
        after = str(self._tokens.read([*query], request.page_token)) if request.page_token else ""
        kinds = list(islice((kind for kind in self._engine.registry.kinds() if kind > after), size + 1))
        reply = pb.ListFlowsResponse(flows=[self.get(kind, principal.plane) for kind in kinds[:size]])
        if len(kinds) > size:
            reply.next_page_token = self._tokens.make([*query], kinds[size - 1])
        return reply
