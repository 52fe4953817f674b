"""Sessions."""

from __future__ import annotations

from flowstate.v1 import session_service_pb2 as pb
from flowstate.v1.types_pb2 import RecordMeta
from flowstate_server.engine.calls.sessions import (
    CreatedSession,
    NewSession,
    SessionAnswer,
    SessionDeletion,
    SessionQuery,
)
from flowstate_server.model.ids import check_id
from flowstate_server.rpc.codec.state import decode_precondition
from flowstate_server.rpc.codec.time import encode_time
from flowstate_server.rpc.json_values import decode_text, encode_value
from flowstate_server.rpc.message_fields import required, under


def decode_new_session(request: pb.CreateSessionRequest) -> NewSession:
    if not request.HasField("session"):
        raise required("session")
    session = request.session
    with under("session"):
        return NewSession(
            flow_kind=check_id("flow_kind", session.flow_kind),
            session_id=session.session_id,
            user_id=session.user_id,
            org_id=session.org_id,
            title=session.title,
            description=session.description,
            tags=tuple(session.tags),
            metadata=decode_text(session.metadata),
        )


def decode_session_deletion(request: pb.DeleteSessionRequest) -> SessionDeletion:
    return SessionDeletion(
        check_id("session_id", request.session_id),
        decode_precondition(request.precondition, "precondition"),
        request.allow_missing,
    )


def decode_session_query(request: pb.ListSessionsRequest) -> SessionQuery:
    return SessionQuery(
        flow_kind=check_id("flow_kind", request.flow_kind, required=False),
        user_id=check_id("user_id", request.user_id, required=False),
        include_ephemeral=request.include_ephemeral,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def encode_session(answer: SessionAnswer) -> pb.Session:
    record = answer.record
    return pb.Session(
        session_id=record.key.session_id,
        flow_kind=record.flow_kind,
        user_id=record.user_id,
        org_id=record.org_id,
        title=record.title,
        description=record.description,
        tags=record.tags,
        metadata=encode_value(record.metadata),
        ephemeral=record.ephemeral,
        meta=RecordMeta(
            version=record.version,
            create_time=encode_time(record.create_time),
            update_time=encode_time(record.update_time),
            incarnation=record.log_id,
        ),
        last_activity_time=encode_time(answer.activity_time),
    )


def encode_created_session(created: CreatedSession) -> pb.CreateSessionResponse:
    if not created.replayed:
        return pb.CreateSessionResponse(session=encode_session(created.session))
    record = created.session.record
    remembered = pb.Session(session_id=record.key.session_id, meta=RecordMeta(version=record.version))
    return pb.CreateSessionResponse(session=remembered, replayed=True)
