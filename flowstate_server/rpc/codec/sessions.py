"""Sessions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowstate.v1 import session_service_pb2 as pb
from flowstate.v1.types_pb2 import RecordMeta, Value
from flowstate_server.engine.calls.sessions import (
    CreatedSession,
    NewSession,
    ResolvedSession,
    SessionAnswer,
    SessionDeletion,
    SessionPage,
    SessionQuery,
    SessionUpdate,
    UpdatedSession,
)
from flowstate_server.model.ids import check_id
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.rpc.codec.state import decode_precondition
from flowstate_server.rpc.codec.time import decode_time, encode_time
from flowstate_server.rpc.fingerprints import fingerprint
from flowstate_server.rpc.json_values import decode_text, decode_value, encode_value
from flowstate_server.rpc.message_fields import invalid, required, under
from flowstate_server.state.json_limits import check_key
from flowstate_server.state.json_profile import parse_json


def decode_new_session(request: pb.CreateSessionRequest | pb.ResolveSessionRequest) -> NewSession:
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


def decode_session_update(request: pb.UpdateSessionRequest) -> SessionUpdate:
    if not request.HasField("session"):
        raise required("session")
    if not request.update_mask.paths:
        raise required("update_mask")
    fields: JsonObject = {}
    for place, path in enumerate(request.update_mask.paths):
        decode = _UPDATABLE.get(path)
        if decode is None:
            raise invalid(
                f"update_mask.paths[{place}]", "unknown_field", f"must be one of {', '.join(_UPDATABLE)}"
            )
        fields[path] = decode(request.session)
    with under("session"):
        session_id = check_id("session_id", request.session.session_id)
    return SessionUpdate(
        session_id,
        fields,
        precondition=decode_precondition(request.precondition, "precondition")
        if request.HasField("precondition")
        else None,
        idempotency_key=request.idempotency_key,
        fingerprint=fingerprint(request) if request.idempotency_key else "",
    )


def _decode_metadata(session: pb.Session) -> Json:
    text = decode_text(session.metadata)
    return parse_json(text, "session.metadata") if text else {}


_UPDATABLE: Mapping[str, Callable[[pb.Session], Json]] = {
    "title": lambda session: session.title,
    "description": lambda session: session.description,
    "tags": lambda session: list(session.tags),
    "metadata": _decode_metadata,
}


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
        org_id=check_id("org_id", request.org_id, required=False),
        tags=tuple(request.tags),
        metadata={key: _decode_wanted(key, value) for key, value in request.metadata.items()},
        active_after=decode_time(request.active_after, "active_after")
        if request.HasField("active_after")
        else None,
        include_ephemeral=request.include_ephemeral,
        include_total=request.include_total,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def _decode_wanted(key: str, value: Value) -> Json:
    check_key(key, "metadata")
    return decode_value(value, f"metadata.{key}")


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
    return pb.CreateSessionResponse(session=_encode_written(created), replayed=created.replayed)


def encode_updated_session(updated: UpdatedSession) -> pb.UpdateSessionResponse:
    return pb.UpdateSessionResponse(session=_encode_written(updated), replayed=updated.replayed)


def encode_resolved_session(resolved: ResolvedSession) -> pb.ResolveSessionResponse:
    return pb.ResolveSessionResponse(session=encode_session(resolved.session), created=resolved.created)


def encode_session_page(page: SessionPage) -> pb.ListSessionsResponse:
    return pb.ListSessionsResponse(
        sessions=[encode_session(answer) for answer in page.sessions],
        next_page_token=page.next_page_token,
        total_size=page.total,
    )


def _encode_written(written: CreatedSession | UpdatedSession) -> pb.Session:
    if not written.replayed:
        return encode_session(written.session)
    record = written.session.record
    return pb.Session(session_id=record.key.session_id, meta=RecordMeta(version=record.version))
