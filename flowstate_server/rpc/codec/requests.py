"""Action calls and requests."""

from __future__ import annotations

from flowstate.v1 import flow_service_pb2 as pb
from flowstate.v1.types_pb2 import Cursor, RecordMeta
from flowstate_server.engine.calls import ActionCall
from flowstate_server.model.ids import check_id
from flowstate_server.model.records import RequestRecord, RequestStatus
from flowstate_server.rpc.codec.failures import encode_failure
from flowstate_server.rpc.codec.time import decode_seconds, encode_time
from flowstate_server.rpc.json_values import decode_text, encode_text
from flowstate_server.rpc.message_fields import required, under

_STATUS = {
    RequestStatus.IN_PROGRESS: pb.ACTION_REQUEST_STATUS_IN_PROGRESS,
    RequestStatus.COMPLETED: pb.ACTION_REQUEST_STATUS_COMPLETED,
    RequestStatus.FAILED: pb.ACTION_REQUEST_STATUS_FAILED,
    RequestStatus.ABORTED: pb.ACTION_REQUEST_STATUS_ABORTED,
    RequestStatus.INTERRUPTED: pb.ACTION_REQUEST_STATUS_INTERRUPTED,
}

Specified = pb.DispatchActionRequest | pb.CallActionRequest | pb.StreamActionRequest


def decode_action_call(request: Specified) -> ActionCall:
    """The call of a message's ``spec``. The input stays text: it is the action that knows what it should be."""
    if not request.HasField("spec"):
        raise required("spec")
    spec = request.spec
    with under("spec"):
        timeout = None
        if spec.HasField("execution_timeout"):
            timeout = decode_seconds(spec.execution_timeout, "execution_timeout")
        return ActionCall(
            flow_kind=check_id("flow_kind", spec.flow_kind),
            action=check_id("action", spec.action),
            input=decode_text(spec.input, unset=b"{}"),
            session_id=spec.session_id,
            user_id=spec.user_id,
            org_id=spec.org_id,
            request_id=spec.request_id,
            execution_timeout=timeout,
        )


def encode_request(record: RequestRecord) -> pb.ActionRequest:
    head = record.head
    return pb.ActionRequest(
        request_id=head.key.request_id,
        session_id=head.session.session_id,
        flow_kind=record.flow_kind,
        action=record.action,
        user_id=head.user_id,
        org_id=record.org_id,
        status=_STATUS[head.status],
        input=encode_text(record.input),
        output=None if record.output is None else encode_text(record.output),
        failure=None if record.failure is None else encode_failure(record.failure),
        create_time=encode_time(head.create_time),
        start_time=encode_time(head.create_time),
        end_time=encode_time(head.end_time),
        latest=Cursor(log_id=head.log_id, sequence=head.sequence),
        meta=_meta(record),
        cancel_requested=head.cancel_requested,
    )


def _meta(record: RequestRecord) -> RecordMeta:
    """A request is written when it is created, when its cancel is stored and when it ends."""
    head = record.head
    return RecordMeta(
        version=1 + head.cancel_requested + head.status.terminal,
        create_time=encode_time(head.create_time),
        update_time=encode_time(head.end_time or head.create_time),
    )
