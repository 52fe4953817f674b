"""ResourceService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import cast

from flowstate.v1 import resource_service_pb2 as pb
from flowstate.v1.resource_service_pb2_grpc import ResourceServiceServicer
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.large_messages import read_aside
from flowstate_server.rpc.call_context import ServicerContext, current_call
from flowstate_server.rpc.codec.resources import (
    decode_content_read,
    decode_piece,
    decode_put,
    decode_resource_deletion,
    decode_resource_query,
    decode_resource_ref,
    decode_view,
    encode_part,
    encode_put,
    encode_received,
    encode_resource,
    encode_resource_page,
)
from flowstate_server.rpc.message_fields import check_document_reply


class ResourceServicer(ResourceServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetResource(
        self, request: pb.GetResourceRequest, context: ServicerContext
    ) -> pb.GetResourceResponse:
        ref, view = decode_resource_ref(request), decode_view(request.view)
        answer = await self._engine.resources.get(current_call().principal, ref, view)
        return pb.GetResourceResponse(resource=encode_resource(answer))

    async def ListResources(
        self, request: pb.ListResourcesRequest, context: ServicerContext
    ) -> pb.ListResourcesResponse:
        query = decode_resource_query(request)
        reply = encode_resource_page(await self._engine.resources.list(current_call().principal, query))
        check_document_reply(reply.ByteSize())
        return reply

    async def PutResource(
        self, request: pb.PutResourceRequest, context: ServicerContext
    ) -> pb.PutResourceResponse:
        put = await read_aside(request.ByteSize(), decode_put, request)
        return encode_put(await self._engine.resources.put(current_call().principal, put))

    async def WriteContent(
        self, request: pb.WriteContentRequest, context: ServicerContext
    ) -> pb.WriteContentResponse:
        piece = decode_piece(request)
        return encode_received(await self._engine.resource_transfers.write(current_call().principal, piece))

    async def ReadContent(
        self, request: pb.ReadContentRequest, context: ServicerContext
    ) -> AsyncIterator[pb.ReadContentResponse]:
        call = current_call()
        read = self._engine.resource_transfers.read(call.principal, decode_content_read(request))
        async with aclosing(read) as parts:
            async for part in parts:
                call.sequence = part.position
                yield cast(pb.ReadContentResponse, encode_part(part))

    async def DeleteResource(
        self, request: pb.DeleteResourceRequest, context: ServicerContext
    ) -> pb.DeleteResourceResponse:
        deletion = decode_resource_deletion(request)
        await self._engine.resources.delete(current_call().principal, deletion)
        return pb.DeleteResourceResponse()
