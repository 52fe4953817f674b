"""EventService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from flowstate.v1 import event_service_pb2 as pb
from flowstate.v1.event_service_pb2_grpc import EventServiceServicer
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.records.page_token import page_size
from flowstate_server.rpc.call_context import ServicerContext, current_call
from flowstate_server.rpc.codec.tails import (
    decode_event_query,
    decode_tail_call,
    encode_event_list,
    serialize_frame,
)
from flowstate_server.rpc.tail_frames import tail_frames


class EventServicer(EventServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: ServicerContext
    ) -> pb.ListEventsResponse:
        size = page_size(request.page_size, self._engine.settings)
        query = decode_event_query(request, size)
        listed = await self._engine.events.list(current_call().principal, query)
        return encode_event_list(listed)

    # In bytes, which the generated base does not know and the envelope takes.
    async def TailEvents(  # type: ignore[override]
        self, request: pb.TailEventsRequest, context: ServicerContext
    ) -> AsyncIterator[bytes]:
        async with aclosing(tail_frames(self._engine, decode_tail_call(request))) as frames:
            async for frame in frames:
                yield serialize_frame(frame)
