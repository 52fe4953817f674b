"""SessionService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from flowstate.v1 import session_service_pb2 as pb
from flowstate.v1.session_service_pb2_grpc import SessionServiceServicer
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.large_messages import read_aside
from flowstate_server.model.ids import check_id
from flowstate_server.rpc.call_context import ServicerContext, current_call
from flowstate_server.rpc.codec.items import (
    decode_item_append,
    decode_item_query,
    decode_item_removal,
    encode_item_list,
    encode_items_appended,
    encode_items_removed,
)
from flowstate_server.rpc.codec.sessions import (
    decode_new_session,
    decode_session_deletion,
    decode_session_query,
    decode_session_update,
    encode_created_session,
    encode_resolved_session,
    encode_session,
    encode_session_page,
    encode_updated_session,
)
from flowstate_server.rpc.codec.snapshots import decode_selectors, encode_snapshot
from flowstate_server.rpc.codec.watches import decode_watch_call
from flowstate_server.rpc.fingerprints import fingerprint
from flowstate_server.rpc.message_fields import check_document_reply, under
from flowstate_server.rpc.watch_frames import watch_frames


class SessionServicer(SessionServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def CreateSession(
        self, request: pb.CreateSessionRequest, context: ServicerContext
    ) -> pb.CreateSessionResponse:
        new = decode_new_session(request)
        key = check_id("idempotency_key", request.idempotency_key, required=False)
        with under("session"):
            created = await self._engine.sessions.create(
                current_call().principal, new, key, fingerprint(request)
            )
        return encode_created_session(created)

    async def GetSession(
        self, request: pb.GetSessionRequest, context: ServicerContext
    ) -> pb.GetSessionResponse:
        answer = await self._engine.sessions.get(current_call().principal, request.session_id)
        return pb.GetSessionResponse(session=encode_session(answer))

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: ServicerContext
    ) -> pb.ListSessionsResponse:
        query = await read_aside(request.ByteSize(), decode_session_query, request)
        return encode_session_page(await self._engine.sessions.list(current_call().principal, query))

    async def ResolveSession(
        self, request: pb.ResolveSessionRequest, context: ServicerContext
    ) -> pb.ResolveSessionResponse:
        new = decode_new_session(request)
        with under("session"):
            resolved = await self._engine.resolved_sessions.resolve(current_call().principal, new)
        return encode_resolved_session(resolved)

    async def UpdateSession(
        self, request: pb.UpdateSessionRequest, context: ServicerContext
    ) -> pb.UpdateSessionResponse:
        update = await read_aside(request.ByteSize(), decode_session_update, request)
        return encode_updated_session(
            await self._engine.session_updates.update(current_call().principal, update)
        )

    async def ListItems(self, request: pb.ListItemsRequest, context: ServicerContext) -> pb.ListItemsResponse:
        listed = await self._engine.items.list(current_call().principal, decode_item_query(request))
        return encode_item_list(listed)

    async def AppendItems(
        self, request: pb.AppendItemsRequest, context: ServicerContext
    ) -> pb.AppendItemsResponse:
        append = await read_aside(request.ByteSize(), decode_item_append, request)
        return encode_items_appended(await self._engine.item_appends.append(current_call().principal, append))

    async def RemoveItems(
        self, request: pb.RemoveItemsRequest, context: ServicerContext
    ) -> pb.RemoveItemsResponse:
        removal = decode_item_removal(request)
        return encode_items_removed(
            await self._engine.item_removals.remove(current_call().principal, removal)
        )

    async def DeleteSession(
        self, request: pb.DeleteSessionRequest, context: ServicerContext
    ) -> pb.DeleteSessionResponse:
        await self._engine.deletions.delete(current_call().principal, decode_session_deletion(request))
        return pb.DeleteSessionResponse()

    async def GetSnapshot(
        self, request: pb.GetSnapshotRequest, context: ServicerContext
    ) -> pb.GetSnapshotResponse:
        selectors = decode_selectors(request.selectors)
        snapshot = await self._engine.snapshots.get(current_call().principal, request.session_id, selectors)
        reply = encode_snapshot(snapshot)
        check_document_reply(reply.ByteSize())
        return reply

    async def WatchSnapshot(
        self, request: pb.WatchSnapshotRequest, context: ServicerContext
    ) -> AsyncIterator[pb.WatchSnapshotResponse]:
        async with aclosing(watch_frames(self._engine, decode_watch_call(request))) as frames:
            async for frame in frames:
                yield frame
