from __future__ import annotations

import asyncio
import json

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from flowstate.v1 import event_service_pb2 as events, flow_service_pb2 as pb
from flowstate.v1.types_pb2 import SCOPE_KIND_SESSION, SCOPE_KIND_USER
from flowstate_server.errors import Reason
from flowstate_server.flows import Context, action, define_flow, handler
from tests.support.served import Say, Served, served, spec
from tests.support.wire import CANARY, TRUSTED, read_all, refused, refused_stream

COMPLETED = pb.ACTION_REQUEST_STATUS_COMPLETED


async def _call(server: Served, **fields: object) -> pb.CallActionResponse:
    return await server.flows.CallAction(pb.CallActionRequest(spec=spec(**fields)))  # type: ignore[arg-type]


async def test_a_flow_is_described_as_the_plane_may_know_it() -> None:
    async with served() as server:
        flow = (await server.flows.GetFlow(pb.GetFlowRequest(flow_kind="talk"))).flow
        trusted = (await server.flows.GetFlow(pb.GetFlowRequest(flow_kind="talk"), metadata=TRUSTED)).flow
    assert [one.name for one in flow.actions] == ["crash", "hold", "object", "say"]
    assert json.loads(flow.actions[3].input_schema.json)["properties"]["text"]["type"] == "string"
    assert [scope.scope for scope in flow.scopes] == [SCOPE_KIND_SESSION, SCOPE_KIND_USER]
    session = flow.scopes[0]
    assert (list(session.exposed), list(session.derived)) == (["count"], ["double"])
    assert not session.HasField("state_schema")
    assert "secret" in json.loads(trusted.scopes[0].state_schema.json)["properties"]
    assert flow.revision == trusted.revision


async def test_flows_are_listed_in_pages() -> None:
    @handler
    async def nothing(said: Say, ctx: Context) -> str:
        return ""

    more = [define_flow(kind=kind, actions={"go": action(block=nothing)}) for kind in ("a", "z")]
    async with served(None, *more) as server:
        first = await server.flows.ListFlows(pb.ListFlowsRequest(page_size=2))
        second = await server.flows.ListFlows(
            pb.ListFlowsRequest(page_size=2, page_token=first.next_page_token)
        )
        foreign = server.flows.ListFlows(
            pb.ListFlowsRequest(page_token=first.next_page_token), metadata=(("x-tenant-id", "other"),)
        )
        assert (await refused(foreign)).reason is Reason.PAGE_TOKEN_INVALID
        negative = await refused(server.flows.ListFlows(pb.ListFlowsRequest(page_size=-1)))
        unknown = await refused(server.flows.GetFlow(pb.GetFlowRequest(flow_kind="none")))
    assert [flow.flow_kind for flow in first.flows] == ["a", "talk"]
    assert [flow.flow_kind for flow in second.flows] == ["z"]
    assert not second.next_page_token
    assert negative.fields == ["page_size"]
    assert unknown.metadata == {"flow_kind": "none"}


async def test_an_action_as_a_function_call() -> None:
    async with served() as server:
        reply = await _call(server, session_id="s1", org_id="o1", request_id="r1")
        again = await _call(server, session_id="s1", org_id="o1", request_id="r1")
    request = reply.action_request
    assert (reply.done, reply.attached, again.done, again.attached) == (True, False, True, True)
    assert again.action_request == request
    assert request.status == COMPLETED
    assert request.output.json == '"you said hi"'
    assert request.input.json == '{"text":"hi"}'
    assert (request.request_id, request.session_id, request.user_id, request.org_id) == (
        "r1",
        "s1",
        "u1",
        "o1",
    )


async def test_failures_of_a_flow_are_data() -> None:
    async with served() as server:
        crash = (await _call(server, action="crash")).action_request
        protest = (await _call(server, action="object")).action_request
    assert crash.status == protest.status == pb.ACTION_REQUEST_STATUS_FAILED
    assert (crash.failure.reason, crash.failure.code) == ("INTERNAL", grpc.StatusCode.INTERNAL.value[0])
    assert crash.failure.error_id
    assert CANARY not in str(crash)
    assert (protest.failure.reason, protest.failure.domain) == ("NO_WAY", "")
    assert protest.failure.details.json == '{"why":"rain"}'
    assert protest.failure.retryable


@pytest.mark.parametrize(
    ("fields", "reason", "path"),
    [
        ({"flow_kind": ""}, Reason.VALIDATION_FAILED, "spec.flow_kind"),
        ({"action": ""}, Reason.VALIDATION_FAILED, "spec.action"),
        ({"user_id": ""}, Reason.VALIDATION_FAILED, "spec.user_id"),
        ({"user_id": "a\x01"}, Reason.VALIDATION_FAILED, "spec.user_id"),
        ({"session_id": "s" * 129}, Reason.VALIDATION_FAILED, "spec.session_id"),
        ({"request_id": "\n"}, Reason.VALIDATION_FAILED, "spec.request_id"),
        ({"text": 5}, Reason.VALIDATION_FAILED, "spec.input/text"),
    ],
)
async def test_a_call_that_is_not_valid_names_the_field(
    fields: dict[str, object], reason: Reason, path: str
) -> None:
    async with served() as server:
        refusal = await refused(_call(server, **fields))
    assert (refusal.reason, refusal.fields) == (reason, [path])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", Reason.JSON_INVALID),
        ('{"text":"' + CANARY + '"', Reason.JSON_INVALID),
        ('{"text":1E400}', Reason.JSON_NUMBER_UNREPRESENTABLE),
        ('{"text":9223372036854775808}', Reason.JSON_NUMBER_UNREPRESENTABLE),
        ("[" * 65 + "]" * 65, Reason.JSON_LIMIT_EXCEEDED),
    ],
)
async def test_an_input_beyond_the_json_profile(text: str, reason: Reason) -> None:
    async with served() as server:
        call = spec()
        call.input.json = text
        refusal = await refused(server.flows.CallAction(pb.CallActionRequest(spec=call)))
    assert refusal.reason is reason
    assert refusal.fields[0].startswith("spec.input")


async def test_refusals_of_a_dispatch() -> None:
    async with served() as server:
        await _call(server, session_id="s1", request_id="r1")
        assert (await refused(_call(server, flow_kind="x"))).reason is Reason.FLOW_NOT_FOUND
        assert (await refused(_call(server, action="x"))).reason is Reason.ACTION_NOT_FOUND
        other_user = await refused(_call(server, session_id="s1", user_id="u2"))
        assert other_user.reason is Reason.SESSION_NOT_FOUND
        assert (
            await refused(_call(server, session_id="s1", org_id="o"))
        ).reason is Reason.ORG_BINDING_MISMATCH
        reused = await refused(_call(server, session_id="s1", request_id="r1", text="else"))
        assert reused.reason is Reason.REQUEST_ALREADY_EXISTS
        bound = server.flows.CallAction(
            pb.CallActionRequest(spec=spec(user_id="u2")), metadata=(("x-flowstate-user", "u1"),)
        )
        assert (await refused(bound)).reason is Reason.ACCESS_DENIED
        large = await refused(_call(server, text="x" * (1024 * 1024)))
        assert large.reason is Reason.MESSAGE_TOO_LARGE


async def test_a_wait_is_answered_ahead_of_the_deadline() -> None:
    async with served() as server:
        call = pb.CallActionRequest(spec=spec("hold", request_id="r1"))
        reply = await server.flows.CallAction(call, timeout=0.5)
        assert not reply.done
        assert reply.action_request.status == pb.ACTION_REQUEST_STATUS_IN_PROGRESS
        at_once = pb.WaitActionRequestRequest(request_id="r1", timeout=Duration())
        assert not (await server.flows.WaitActionRequest(at_once)).done
        waiting = asyncio.ensure_future(_wait(server, "r1"))
        server.gate.opened.set()
        assert (await waiting).action_request.output.json == '"held"'
        stored = await server.flows.GetActionRequest(pb.GetActionRequestRequest(request_id="r1"))
        assert stored.action_request == (await waiting).action_request


async def _wait(server: Served, request_id: str) -> pb.WaitActionRequestResponse:
    return await server.flows.WaitActionRequest(pb.WaitActionRequestRequest(request_id=request_id))


async def test_leaving_a_call_does_not_stop_the_run() -> None:
    async with served() as server:
        call = server.flows.CallAction(pb.CallActionRequest(spec=spec("hold", request_id="r1")))
        waiting = asyncio.ensure_future(_await(call))
        await server.gate.reached.wait()
        call.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        server.gate.opened.set()
        assert (await _wait(server, "r1")).action_request.status == COMPLETED


async def _await(call: object) -> None:
    await call  # type: ignore[misc]


async def test_cancel() -> None:
    async with served() as server:
        await server.flows.DispatchAction(pb.DispatchActionRequest(spec=spec("hold", request_id="r1")))
        await server.gate.reached.wait()
        cancel = pb.CancelActionRequestRequest(request_id="r1", reason="enough")
        assert (await server.flows.CancelActionRequest(cancel)).action_request.cancel_requested
        ended = (await _wait(server, "r1")).action_request
        assert ended.status == pb.ACTION_REQUEST_STATUS_ABORTED
        assert (await server.flows.CancelActionRequest(cancel)).action_request == ended


async def test_requests_of_others_do_not_exist() -> None:
    async with served() as server:
        await _call(server, request_id="r1")
        for metadata in ((("x-tenant-id", "b"),), (("x-flowstate-user", "u2"),)):
            for call in (
                server.flows.GetActionRequest(pb.GetActionRequestRequest(request_id="r1"), metadata=metadata),
                server.flows.WaitActionRequest(
                    pb.WaitActionRequestRequest(request_id="r1"), metadata=metadata
                ),
                server.flows.CancelActionRequest(
                    pb.CancelActionRequestRequest(request_id="r1"), metadata=metadata
                ),
                server.events.ListEvents(events.ListEventsRequest(request_id="r1"), metadata=metadata),
            ):
                assert (await refused(call)).reason is Reason.REQUEST_NOT_FOUND


async def test_a_stream_is_a_dispatch_and_a_tail() -> None:
    async with served() as server:
        request = pb.StreamActionRequest(spec=spec(request_id="r1"))
        first, *frames = await read_all(server.flows.StreamAction(request))
        again = await read_all(server.flows.StreamAction(request))
    assert first.action_request.request_id == "r1"
    assert not first.attached
    assert not any(frame.HasField("action_request") for frame in frames)
    assert frames[0].tail.HasField("started")
    assert frames[-1].tail.HasField("ended")
    types = [event.type for frame in frames for event in frame.tail.batch.events]
    assert types[:2] == ["request.created", "request.in_progress"]
    assert types[-1] == "request.completed"
    assert again[0].attached
    assert [event.type for frame in again for event in frame.tail.batch.events] == types


@pytest.mark.parametrize("asked", [True, False])
async def test_a_stream_that_breaks_takes_its_run_with_it_if_asked_to(asked: bool) -> None:
    async with served() as server:
        request = pb.StreamActionRequest(spec=spec("hold", request_id="r1"), cancel_on_disconnect=asked)
        call = server.flows.StreamAction(request)
        await call.read()
        await server.gate.reached.wait()
        call.cancel()
        if not asked:
            server.gate.opened.set()
        ended = (await _wait(server, "r1")).action_request
        assert ended.status == (pb.ACTION_REQUEST_STATUS_ABORTED if asked else COMPLETED)


async def test_a_stream_that_attached_leaves_the_run_alone() -> None:
    async with served() as server:
        request = pb.StreamActionRequest(spec=spec("hold", request_id="r1"), cancel_on_disconnect=True)
        await server.flows.DispatchAction(pb.DispatchActionRequest(spec=request.spec))
        call = server.flows.StreamAction(request)
        await call.read()
        call.cancel()
        server.gate.opened.set()
        assert (await _wait(server, "r1")).action_request.status == COMPLETED


async def test_a_stream_is_refused_like_a_dispatch() -> None:
    async with served() as server:
        refusal = await refused_stream(
            server.flows.StreamAction(pb.StreamActionRequest(spec=spec(user_id="")))
        )
    assert refusal.fields == ["spec.user_id"]
