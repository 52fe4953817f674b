"""Resources of one owner in a dictionary, as a server has them on the wire."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from flowstate.v1 import resource_service_pb2, resource_service_pb2_grpc
from tests.client.fake_tails import Context, refuse

PIECE = 4


class FakeResources(resource_service_pb2_grpc.ResourceServiceServicer):
    """``before`` comes ahead of each call, ``after`` behind each piece that is taken. A reading breaks off behind as
    many bytes as the first of ``breaks`` says, once each."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.resources: dict[str, resource_service_pb2.Resource] = {}
        self.contents: dict[str, bytes] = {}
        self.uploads: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.before: Callable[[Any, Context], Awaitable[None]] | None = None
        self.after: Callable[[Any, Context], Awaitable[None]] | None = None

    def put(self, name: str, content: bytes, *, state: str = "{}", version: int = 1) -> None:
        resource = resource_service_pb2.Resource(name=name, media_type="text/plain")
        resource.state.json = state
        resource.content_size = len(content)
        resource.content_sha256 = hashlib.sha256(content).hexdigest() if content else ""
        resource.meta.version = version
        resource.meta.incarnation = "inc_1"
        self.resources[name] = resource
        self.contents[name] = content

    async def _arrive(self, request: Any, context: Context) -> None:
        kept = type(request)()
        kept.CopyFrom(request)
        self.seen.append(kept)
        if self.before is not None:
            await self.before(request, context)

    async def _found(self, name: str, context: Any) -> resource_service_pb2.Resource:
        if name not in self.resources:
            await refuse(context, grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND", scope="session", name=name)
        return self.resources[name]

    async def GetResource(self, request: Any, context: Any) -> resource_service_pb2.GetResourceResponse:
        await self._arrive(request, context)
        resource = await self._found(request.name, context)
        response = resource_service_pb2.GetResourceResponse(resource=resource)
        response.resource.content = self.contents[request.name][: 1024 * 1024 + 1]
        if len(response.resource.content) > 1024 * 1024:
            response.resource.content = b""
        return response

    async def ListResources(self, request: Any, context: Any) -> resource_service_pb2.ListResourcesResponse:
        await self._arrive(request, context)
        names = [name for name in sorted(self.resources) if name.startswith(request.name_prefix)]
        size = request.page_size or 50
        start = int(request.page_token or 0)
        token = str(start + size) if start + size < len(names) else ""
        found = [self.resources[name] for name in names[start : start + size]]
        return resource_service_pb2.ListResourcesResponse(resources=found, next_page_token=token)

    async def PutResource(self, request: Any, context: Any) -> resource_service_pb2.PutResourceResponse:
        await self._arrive(request, context)
        before = self.resources.get(request.resource.name)
        version = 1 if before is None else before.meta.version + 1
        content = request.resource.content
        self.put(request.resource.name, content, state=request.resource.state.json, version=version)
        return resource_service_pb2.PutResourceResponse(
            resource=self.resources[request.resource.name], changed=True
        )

    async def WriteContent(self, request: Any, context: Any) -> resource_service_pb2.WriteContentResponse:
        await self._arrive(request, context)
        taken = self.uploads.get(request.upload_id, b"")
        if request.position == len(taken):
            taken = self.uploads[request.upload_id] = taken + request.data
        if self.after is not None:
            await self.after(request, context)
        response = resource_service_pb2.WriteContentResponse(received=len(taken))
        if request.finish:
            self.put(request.name, taken)
            response.resource.CopyFrom(self.resources[request.name])
            response.changed = True
        return response

    async def ReadContent(
        self, request: Any, context: Any
    ) -> AsyncIterator[resource_service_pb2.ReadContentResponse]:
        await self._arrive(request, context)
        resource = await self._found(request.name, context)
        if request.if_sha256 and request.if_sha256 != resource.content_sha256:
            await refuse(context, grpc.StatusCode.ABORTED, "VERSION_MISMATCH", current="9")
        content = self.contents[request.name]
        first = resource_service_pb2.ReadContentResponse(resource=resource)
        for start in range(request.position, len(content), PIECE):
            if self.breaks and start >= self.breaks[0]:
                self.breaks.pop(0)
                await refuse(context, grpc.StatusCode.UNAVAILABLE)
            first.position = start
            first.data = content[start : start + PIECE]
            yield first
            first = resource_service_pb2.ReadContentResponse()
        if first.HasField("resource"):
            yield first

    async def DeleteResource(self, request: Any, context: Any) -> resource_service_pb2.DeleteResourceResponse:
        await self._arrive(request, context)
        await self._found(request.name, context)
        del self.resources[request.name]
        return resource_service_pb2.DeleteResourceResponse()
