"""JournalService."""

from __future__ import annotations

from flowstate.v1 import journal_service_pb2 as pb
from flowstate.v1.journal_service_pb2_grpc import JournalServiceServicer
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.large_messages import read_aside
from flowstate_server.rpc.call_context import ServicerContext, current_call
from flowstate_server.rpc.codec.journals import (
    decode_append,
    decode_journal_query,
    encode_appended,
    encode_journal_page,
)


class JournalServicer(JournalServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def AppendJournal(
        self, request: pb.AppendJournalRequest, context: ServicerContext
    ) -> pb.AppendJournalResponse:
        append = await read_aside(request.ByteSize(), decode_append, request)
        return encode_appended(await self._engine.journals.append(current_call().principal, append))

    async def ListJournal(
        self, request: pb.ListJournalRequest, context: ServicerContext
    ) -> pb.ListJournalResponse:
        query = decode_journal_query(request)
        return encode_journal_page(await self._engine.journals.list(current_call().principal, query))
