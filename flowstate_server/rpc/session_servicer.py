"""SessionService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from flowstate.v1 import session_service_pb2 as pb
from flowstate.v1.session_service_pb2_grpc import SessionServiceServicer
from flowstate_server.engine.engine import Engine
from flowstate_server.model.ids import check_id
from flowstate_server.rpc.call_context import ServicerContext, current_call
from flowstate_server.rpc.codec.sessions import (
    decode_new_session,
    decode_session_query,
    encode_created_session,
    encode_session,
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
        page = await self._engine.sessions.list(current_call().principal, decode_session_query(request))
        sessions = [encode_session(answer) for answer in page.sessions]
        return pb.ListSessionsResponse(sessions=sessions, next_page_token=page.next_page_token)

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
