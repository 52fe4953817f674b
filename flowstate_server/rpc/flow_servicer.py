"""FlowService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from flowstate.v1 import flow_service_pb2 as pb
from flowstate.v1.flow_service_pb2_grpc import FlowServiceServicer
from flowstate_server.engine.bindings import check_audience
from flowstate_server.engine.calls.logs import TailCall, TailEnded
from flowstate_server.engine.calls.runs import Dispatched, Waited
from flowstate_server.engine.engine import Engine
from flowstate_server.model.clock import Seconds
from flowstate_server.model.ids import check_id
from flowstate_server.rpc.admission import Admission
from flowstate_server.rpc.call_context import ServicerContext, current_call
from flowstate_server.rpc.call_metadata import REQUEST_KEY
from flowstate_server.rpc.codec.requests import (
    Specified,
    decode_action_call,
    decode_request_query,
    encode_request,
    encode_request_list,
    set_request,
)
from flowstate_server.rpc.codec.tails import decode_filter, decode_heartbeat, serialize_streamed
from flowstate_server.rpc.codec.time import decode_seconds
from flowstate_server.rpc.disconnects import DisconnectCancel
from flowstate_server.rpc.flow_listing import FlowListing
from flowstate_server.rpc.message_fields import under
from flowstate_server.rpc.tail_frames import tail_frames

ANSWER_AHEAD = 0.25
"""Seconds ahead of the deadline at which a wait is answered."""


class FlowServicer(FlowServiceServicer):
    def __init__(self, engine: Engine, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission
        self._flows = FlowListing(engine)

    async def ListFlows(self, request: pb.ListFlowsRequest, context: ServicerContext) -> pb.ListFlowsResponse:
        return self._flows.page(current_call().principal, request)

    async def GetFlow(self, request: pb.GetFlowRequest, context: ServicerContext) -> pb.GetFlowResponse:
        kind = check_id("flow_kind", request.flow_kind)
        return pb.GetFlowResponse(flow=self._flows.get(kind, current_call().principal.plane))

    async def DispatchAction(
        self, request: pb.DispatchActionRequest, context: ServicerContext
    ) -> pb.DispatchActionResponse:
        dispatched = await self._dispatch(request, validate_only=request.validate_only)
        message = encode_request(dispatched.request)
        if request.validate_only and not dispatched.attached:
            message.ClearField("latest")
            message.ClearField("meta")
        return pb.DispatchActionResponse(action_request=message, attached=dispatched.attached)

    async def CallAction(
        self, request: pb.CallActionRequest, context: ServicerContext
    ) -> pb.CallActionResponse:
        within = current_call().metadata.identifier(REQUEST_KEY)
        dispatched = await self._dispatch(request, within=within)
        request_id = dispatched.request.key.request_id
        waited = await self._wait(request_id, self._engine.settings.max_wait, within)
        response = pb.CallActionResponse(attached=dispatched.attached, done=waited.done)
        set_request(response.action_request, waited.request)
        return response

    # In bytes too, which the generated base does not know and the envelope takes.
    async def StreamAction(  # type: ignore[override]
        self, request: pb.StreamActionRequest, context: ServicerContext
    ) -> AsyncIterator[pb.StreamActionResponse | bytes]:
        heartbeat = Seconds(0.0)
        if request.HasField("heartbeat_interval"):
            heartbeat = decode_heartbeat(request.heartbeat_interval)
        filter = decode_filter(request.filter)
        check_audience(current_call().principal, filter.audience)  # before anything is stored
        within = current_call().metadata.identifier(REQUEST_KEY)
        call = decode_action_call(request, current_call().correlation_id, within=within)
        stream = DisconnectCancel(self._engine, current_call().principal)
        ended = False
        try:
            with under("spec"):
                dispatched = await stream.dispatch(call)
            yield pb.StreamActionResponse(
                action_request=encode_request(dispatched.request), attached=dispatched.attached
            )
            tail = TailCall(dispatched.request.key.request_id, heartbeat=heartbeat, filter=filter)
            async with aclosing(tail_frames(self._engine, tail)) as frames:
                async for frame in frames:
                    ended = isinstance(frame, TailEnded)
                    yield serialize_streamed(frame)
        finally:
            if request.cancel_on_disconnect and not ended and not self._admission.draining:
                await stream.disconnected()

    async def GetActionRequest(
        self, request: pb.GetActionRequestRequest, context: ServicerContext
    ) -> pb.GetActionRequestResponse:
        record = await self._engine.requests.get(current_call().principal, request.request_id)
        return pb.GetActionRequestResponse(action_request=encode_request(record))

    async def WaitActionRequest(
        self, request: pb.WaitActionRequestRequest, context: ServicerContext
    ) -> pb.WaitActionRequestResponse:
        patience = self._engine.settings.max_wait
        if request.HasField("timeout"):
            patience = min(patience, decode_seconds(request.timeout, "timeout"))
        within = current_call().metadata.identifier(REQUEST_KEY)
        waited = await self._wait(request.request_id, patience, within)
        return pb.WaitActionRequestResponse(action_request=encode_request(waited.request), done=waited.done)

    async def ListActionRequests(
        self, request: pb.ListActionRequestsRequest, context: ServicerContext
    ) -> pb.ListActionRequestsResponse:
        query = decode_request_query(request)
        return encode_request_list(await self._engine.request_lists.list(current_call().principal, query))

    async def CancelActionRequest(
        self, request: pb.CancelActionRequestRequest, context: ServicerContext
    ) -> pb.CancelActionRequestResponse:
        principal = current_call().principal
        record = await self._engine.requests.cancel(principal, request.request_id, request.reason)
        return pb.CancelActionRequestResponse(action_request=encode_request(record))

    async def _dispatch(
        self, request: Specified, *, validate_only: bool = False, within: str = ""
    ) -> Dispatched:
        call = current_call()
        action_call = decode_action_call(
            request, call.correlation_id, validate_only=validate_only, within=within
        )
        with under("spec"):
            return await self._engine.dispatcher.dispatch(call.principal, action_call)

    async def _wait(self, request_id: str, patience: Seconds, within: str = "") -> Waited:
        call = current_call()
        remaining = call.remaining()
        if remaining is not None:
            patience = Seconds(min(patience, remaining - ANSWER_AHEAD))
        patience = Seconds(max(patience, 0.0))
        return await self._engine.requests.wait(call.principal, request_id, patience, within=within)
