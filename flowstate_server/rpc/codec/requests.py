"""Action calls and requests."""

from __future__ import annotations

from flowstate.v1 import flow_service_pb2 as pb
from flowstate.v1.types_pb2 import RecordMeta
from flowstate_server.engine.calls.lists import RequestList, RequestQuery
from flowstate_server.engine.calls.runs import ActionCall
from flowstate_server.model.ids import check_id
from flowstate_server.model.records import RequestHead, RequestRecord, RequestStatus
from flowstate_server.rpc.codec.failures import encode_failure
from flowstate_server.rpc.codec.time import decode_seconds, set_time
from flowstate_server.rpc.json_values import decode_text
from flowstate_server.rpc.message_fields import invalid, required, under

_STATUS = {
    RequestStatus.QUEUED: pb.ACTION_REQUEST_STATUS_QUEUED,
    RequestStatus.IN_PROGRESS: pb.ACTION_REQUEST_STATUS_IN_PROGRESS,
    RequestStatus.SUSPENDED: pb.ACTION_REQUEST_STATUS_SUSPENDED,
    RequestStatus.COMPLETED: pb.ACTION_REQUEST_STATUS_COMPLETED,
    RequestStatus.FAILED: pb.ACTION_REQUEST_STATUS_FAILED,
    RequestStatus.ABORTED: pb.ACTION_REQUEST_STATUS_ABORTED,
    RequestStatus.INTERRUPTED: pb.ACTION_REQUEST_STATUS_INTERRUPTED,
}
_STATUSES = {wire: status for status, wire in _STATUS.items()}

Specified = pb.DispatchActionRequest | pb.CallActionRequest | pb.StreamActionRequest


def decode_action_call(
    request: Specified, correlation_id: str = "", *, validate_only: bool = False, within: str = ""
) -> ActionCall:
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
            correlation_id=correlation_id,
            validate_only=validate_only,
            within=within,
        )


def decode_request_query(request: pb.ListActionRequestsRequest) -> RequestQuery:
    return RequestQuery(
        session_id=check_id("session_id", request.session_id, required=False),
        flow_kind=check_id("flow_kind", request.flow_kind, required=False),
        action=check_id("action", request.action, required=False),
        user_id=check_id("user_id", request.user_id, required=False),
        org_id=check_id("org_id", request.org_id, required=False),
        statuses=frozenset(_decode_status(status, place) for place, status in enumerate(request.statuses)),
        with_payloads=request.with_payloads,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def _decode_status(status: pb.ActionRequestStatus.ValueType, place: int) -> RequestStatus:
    if status not in _STATUSES:
        raise invalid(f"statuses[{place}]", "enum", "must be a status of requests")
    return _STATUSES[status]


def encode_request_list(listed: RequestList) -> pb.ListActionRequestsResponse:
    response = pb.ListActionRequestsResponse(next_page_token=listed.next_page_token)
    for record in listed.requests:
        set_request(response.action_requests.add(), record)
    return response


def encode_request(record: RequestRecord) -> pb.ActionRequest:
    message = pb.ActionRequest()
    set_request(message, record)
    return message


def set_request(message: pb.ActionRequest, record: RequestRecord) -> None:
    head = record.head
    message.request_id = head.key.request_id
    message.session_id = head.session.session_id
    message.flow_kind = record.flow_kind
    message.action = record.action
    message.user_id = head.user_id
    message.org_id = record.org_id
    message.status = _STATUS[head.status]
    if record.input:  # which lists may leave out
        message.input.json = record.input.decode()
    if record.output is not None:
        message.output.json = record.output.decode()
    if record.failure is not None:
        message.failure.CopyFrom(encode_failure(record.failure))
    message.stop_reason = record.reason
    set_time(message.create_time, head.create_time)
    if head.attempt and head.status is not RequestStatus.QUEUED:
        set_time(message.start_time, head.start_time or head.create_time)
    if head.end_time:
        set_time(message.end_time, head.end_time)
    message.latest.log_id = head.log_id
    message.latest.sequence = head.sequence
    message.cancel_requested = head.cancel_requested
    _set_meta(message.meta, head)


def _set_meta(meta: RecordMeta, head: RequestHead) -> None:
    """A request is written when it is created, when its cancel is stored and when it ends."""
    meta.version = 1 + head.cancel_requested + head.status.ended
    meta.incarnation = head.log_id
    set_time(meta.create_time, head.create_time)
    set_time(meta.update_time, head.end_time or head.create_time)
