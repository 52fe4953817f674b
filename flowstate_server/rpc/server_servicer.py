"""ServerService."""

from __future__ import annotations

from importlib.metadata import version

from flowstate.v1 import server_service_pb2 as pb
from flowstate.v1.server_service_pb2_grpc import ServerServiceServicer
from flowstate_server.engine.calls.resources import MAX_INLINE_BYTES
from flowstate_server.engine.engine import Engine
from flowstate_server.model.blobs import MAX_BLOB_BYTES
from flowstate_server.model.clock import Seconds
from flowstate_server.model.ids import MAX_ID_BYTES
from flowstate_server.model.resources import MAX_NAME_BYTES, MAX_OF_OWNER
from flowstate_server.programs.concurrency import MAX_WAITING
from flowstate_server.rpc.call_context import ServicerContext
from flowstate_server.rpc.codec.time import encode_seconds
from flowstate_server.rpc.features import capabilities
from flowstate_server.rpc.message_fields import MAX_DOCUMENT_REPLY
from flowstate_server.settings import ServerSettings
from flowstate_server.state.json_limits import MAX_DEPTH, MAX_KEY_BYTES


class ServerServicer(ServerServiceServicer):
    def __init__(self, engine: Engine, server: ServerSettings) -> None:
        self._engine = engine
        self._version = version("flowstate-grpc")
        settings = engine.settings
        self._limits = pb.Limits(
            max_message_bytes=server.max_message_bytes,
            max_document_reply_bytes=MAX_DOCUMENT_REPLY,
            max_state_bytes=settings.max_state_bytes,
            max_input_bytes=settings.max_input_bytes,
            max_output_bytes=settings.max_output_bytes,
            max_event_output_bytes=settings.max_terminal_output_bytes,
            max_item_bytes=settings.max_item_bytes,
            max_id_bytes=MAX_ID_BYTES,
            max_json_depth=MAX_DEPTH,
            max_json_key_bytes=MAX_KEY_BYTES,
            max_ops_per_commit=settings.max_ops,
            max_scopes=settings.max_scopes,
            max_resource_bytes=MAX_BLOB_BYTES,
            max_inline_content_bytes=MAX_INLINE_BYTES,
            max_resources_per_owner=MAX_OF_OWNER,
            max_resource_name_bytes=MAX_NAME_BYTES,
            max_queued_requests=MAX_WAITING,
            max_page_size=settings.max_page_size,
            max_tails_per_tenant=server.max_streams_per_tenant,
            heartbeat_interval=encode_seconds(settings.heartbeat),
            max_wait=encode_seconds(settings.max_wait),
            default_deadline=encode_seconds(Seconds(server.unary_deadline)),
            idempotency_window=encode_seconds(settings.idempotency_window),
            transient_retention=encode_seconds(settings.transient_retention),
        )

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: ServicerContext
    ) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(
            version=self._version,
            instance_id=self._engine.instance_id,
            limits=self._limits,
            capabilities=capabilities(),
        )
