from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.duration_pb2 import Duration

from flowstate.v1 import event_service_pb2 as events, flow_service_pb2 as pb
from flowstate.v1.types_pb2 import Cursor, Value
from flowstate_server.engine.calls.logs import EndReason, LogCursor, TailCall, TailEnded
from flowstate_server.engine.calls.runs import ActionCall
from flowstate_server.errors import ValidationFailedError
from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import Failure, RequestHead, RequestRecord, RequestStatus
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.rpc.codec.requests import decode_action_call, encode_request
from flowstate_server.rpc.codec.tails import decode_tail_call, serialize_frame

HEAD = RequestHead(
    key=RequestKey(Tenant("acme"), "r1"),
    session=SessionKey(Tenant("acme"), "s1"),
    session_log_id="sl",
    log_id="rl",
    user_id="u1",
    fingerprint="fp",
    process="p",
    status=RequestStatus.IN_PROGRESS,
    create_time=Micros(5_000_000),
)
RECORD = RequestRecord(head=HEAD, flow_kind="chat", action="say", org_id="o1", scopes=(), input=b'{"a":1}')


def _call(spec: pb.ActionSpec) -> ActionCall:
    return decode_action_call(pb.CallActionRequest(spec=spec))


def test_a_call_keeps_its_fields_as_sent() -> None:
    spec = pb.ActionSpec(
        flow_kind="chat",
        action="say",
        input=Value(json=" { }"),
        session_id="s",
        user_id="u",
        org_id="o",
        request_id="r",
    )
    spec.execution_timeout.FromMilliseconds(1_500)
    assert _call(spec) == ActionCall(
        flow_kind="chat",
        action="say",
        input=b" { }",
        session_id="s",
        user_id="u",
        org_id="o",
        request_id="r",
        execution_timeout=Seconds(1.5),
    )


def test_an_input_that_is_not_sent_is_an_empty_object() -> None:
    assert _call(pb.ActionSpec(flow_kind="chat", action="say")) == ActionCall("chat", "say", b"{}")


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (pb.CallActionRequest(), "spec"),
        (pb.DispatchActionRequest(spec=pb.ActionSpec(action="say")), "spec.flow_kind"),
        (pb.StreamActionRequest(spec=pb.ActionSpec(flow_kind="chat")), "spec.action"),
        (
            pb.CallActionRequest(
                spec=pb.ActionSpec(flow_kind="c", action="a", execution_timeout=Duration(seconds=-1))
            ),
            "spec.execution_timeout",
        ),
    ],
)
def test_calls_that_are_refused(
    request_: pb.CallActionRequest | pb.DispatchActionRequest | pb.StreamActionRequest, path: str
) -> None:
    with pytest.raises(ValidationFailedError) as refusal:
        decode_action_call(request_)
    assert [violation.path for violation in refusal.value.violations] == [path]


def test_a_running_request() -> None:
    wire = encode_request(RECORD)
    assert wire.status == pb.ACTION_REQUEST_STATUS_IN_PROGRESS
    assert wire.input.json == '{"a":1}'
    assert not wire.HasField("output")
    assert not wire.HasField("failure")
    assert not wire.HasField("end_time")
    assert wire.start_time.seconds == 5
    assert wire.latest == Cursor(log_id="rl", sequence=0)
    assert (wire.meta.version, wire.meta.incarnation) == (1, "rl")


def test_an_ended_request() -> None:
    head = replace(
        HEAD, status=RequestStatus.FAILED, end_time=Micros(6_000_000), cancel_requested=True, sequence=9
    )
    failure = Failure("ACTION_TIMEOUT", "took too long", retryable=True)
    wire = encode_request(replace(RECORD, head=head, failure=failure, output=b"null"))
    assert wire.status == pb.ACTION_REQUEST_STATUS_FAILED
    assert wire.output.json == "null"
    assert (wire.failure.code, wire.failure.reason, wire.failure.domain) == (
        4,
        "ACTION_TIMEOUT",
        "flowstate.dev",
    )
    assert wire.end_time.seconds == wire.meta.update_time.seconds == 6
    assert (wire.meta.version, wire.cancel_requested, wire.latest.sequence) == (3, True, 9)


@pytest.mark.parametrize("status", [RequestStatus.ABORTED, RequestStatus.INTERRUPTED])
def test_a_stopped_request_says_why(status: RequestStatus) -> None:
    wire = encode_request(replace(RECORD, head=replace(HEAD, status=status), reason="enough"))
    assert wire.stop_reason == "enough"


@pytest.mark.parametrize(
    "status", [status for status in RequestStatus if status is not RequestStatus.REMOVED]
)
def test_every_status_has_its_name(status: RequestStatus) -> None:
    wire = encode_request(replace(RECORD, head=replace(HEAD, status=status)))
    assert pb.ActionRequestStatus.Name(wire.status) == f"ACTION_REQUEST_STATUS_{status.name}"


def test_where_a_tail_begins() -> None:
    assert decode_tail_call(events.TailEventsRequest(request_id="r")) == TailCall("r")
    after = events.TailEventsRequest(request_id="r", after=Cursor(log_id="l", sequence=-1), replay_only=True)
    assert decode_tail_call(after) == TailCall("r", LogCursor("l", -1), replay_only=True)
    assert decode_tail_call(events.TailEventsRequest(request_id="r", latest=True)) == TailCall(
        "r", latest=True
    )


def test_a_heartbeat_of_zero_is_not_the_default() -> None:
    asked = events.TailEventsRequest(request_id="r", heartbeat_interval=Duration())
    assert 0 < decode_tail_call(asked).heartbeat < 1


@pytest.mark.parametrize("reason", EndReason)
def test_the_end_of_a_tail(reason: EndReason) -> None:
    wire = events.TailEventsResponse.FromString(serialize_frame(TailEnded(LogCursor("l", 4), 4, reason)))
    assert wire.cursor == Cursor(log_id="l", sequence=4)
    assert wire.ended.final_sequence == 4
    assert (
        wire.ended.reason
        == events.DESCRIPTOR.pool.FindEnumTypeByName("flowstate.v1.EndReason")
        .values_by_name[f"END_REASON_{reason.name}"]
        .number
    )
