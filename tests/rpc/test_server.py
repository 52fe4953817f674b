from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ListServiceResponse, ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from flowstate.v1 import event_service_pb2 as events, flow_service_pb2 as flows
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate.v1.server_service_pb2 import GetServerInfoRequest, Limits
from flowstate.v1.server_service_pb2_grpc import ServerServiceStub
from flowstate_server.app import create_flowstate
from flowstate_server.errors import Reason
from flowstate_server.rpc import methods
from flowstate_server.rpc.methods import SERVED_SERVICES
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.settings import ServerSettings
from flowstate_server.testing.waiting import until
from tests.support.access_records import AccessRecords
from tests.support.contract import METHODS, UNSERVED_METHODS
from tests.support.served import Served, served, spec
from tests.support.wire import TRUSTED, read_all, read_one, refused, refused_stream

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING

TLS = Path(__file__).parents[1] / "support/tls"
"""A certificate for localhost that signs itself, and the key it was made with; good for tests only."""


async def test_the_server_says_what_it_is() -> None:
    async with served(ServerSettings(max_streams_per_tenant=7)) as server:
        info = await server.info.GetServerInfo(GetServerInfoRequest())
    assert info.version
    assert info.instance_id
    assert "FlowService/CallAction" in info.capabilities
    assert not set(info.capabilities) & UNSERVED_METHODS
    assert info.limits.max_tails_per_tenant == 7
    assert info.limits.max_message_bytes == 4 * 1024 * 1024
    assert info.limits.max_wait.seconds == 50
    assert info.limits.heartbeat_interval.seconds == 15
    assert info.limits.idempotency_window.seconds == 24 * 3600
    assert info.limits.max_document_reply_bytes == 3.5 * 1024 * 1024
    assert info.limits.max_event_output_bytes == 64 * 1024
    assert (info.limits.max_scopes, info.limits.max_json_key_bytes, info.limits.max_id_bytes) == (
        16,
        256,
        128,
    )
    assert (info.limits.default_deadline.seconds, info.limits.transient_retention.seconds) == (30, 600)
    unset = {field.name for field in Limits.DESCRIPTOR.fields} - {
        field.name for field, _ in info.limits.ListFields()
    }
    assert unset == {"event_retention"}


@pytest.mark.parametrize(
    "name", ["ResourceService/GetResource", "ResourceService/ReadContent", "ResourceService/PutResource"]
)
async def test_methods_to_come_are_refused_as_such(
    name: str, access: AccessRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = methods.METHODS[name]._replace(served=False)
    monkeypatch.setitem(methods.METHODS, name, later)
    descriptor = METHODS[name]
    request = GetMessageClass(descriptor.input_type)().SerializeToString()
    path = f"/flowstate.v1.{name}"
    async with served() as server:
        if descriptor.server_streaming:
            stream: aio.UnaryStreamMultiCallable[bytes, bytes] = server.channel.unary_stream(path)
            refusal = await refused_stream(stream(request, metadata=TRUSTED))
        else:
            unary: aio.UnaryUnaryMultiCallable[bytes, bytes] = server.channel.unary_unary(path)
            refusal = await refused(unary(request, metadata=TRUSTED))
        await access.count(1)
    assert (refusal.reason, refusal.metadata) == (Reason.FEATURE_DISABLED, {"feature": name})


async def test_methods_need_their_plane_whatever_is_sent() -> None:
    async with served() as server:
        for name in ("ResourceService/PutResource", "ResourceService/DeleteResource"):
            unary: aio.UnaryUnaryMultiCallable[bytes, bytes] = server.channel.unary_unary(
                f"/flowstate.v1.{name}"
            )
            assert (await refused(unary(b""))).reason is Reason.ACCESS_DENIED


async def test_health_needs_no_credentials(tmp_path: Path) -> None:
    async with served(ServerSettings(tokens=_tokens(tmp_path))) as server:
        health: Any = HealthStub(server.channel)
        for name in ("", *SERVED_SERVICES):
            assert (await health.Check(HealthCheckRequest(service=name))).status == SERVING
        with pytest.raises(aio.AioRpcError) as raised:
            await health.Check(HealthCheckRequest(service="other"))
        assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_health_watch_sees_the_server_go() -> None:
    async with served() as server:
        watch = _watch(server)
        assert await _status(watch) == SERVING
        await server.server.stop(drain_grace=1.0)
        assert await _status(watch) == NOT_SERVING
        assert (await refused_stream(watch)).reason is Reason.SERVER_DRAINING


def _watch(server: Served) -> aio.UnaryStreamCall[Any, HealthCheckResponse]:
    health: Any = HealthStub(server.channel)
    call: aio.UnaryStreamCall[Any, HealthCheckResponse] = health.Watch(HealthCheckRequest())
    return call


async def _status(watch: aio.UnaryStreamCall[Any, HealthCheckResponse]) -> int:
    return (await read_one(watch)).status


async def test_reflection_is_there_if_asked_for() -> None:
    async def ask(server: Served) -> ListServiceResponse:
        request = ServerReflectionRequest(list_services="")
        channel: Any = server.channel
        reflection: Any = ServerReflectionStub(channel)
        (reply,) = await read_all(reflection.ServerReflectionInfo(iter([request])))
        listed: ListServiceResponse = reply.list_services_response
        return listed

    async with served(ServerSettings(reflection=True)) as server:
        names = {service.name for service in (await ask(server)).service}
        assert {*SERVED_SERVICES} < names
    async with served() as server:
        assert (await refused(ask(server))).reason is Reason.FEATURE_DISABLED


def _tokens(folder: Path) -> Path:
    path = folder / "tokens.toml"
    path.write_text('[[tokens]]\ntoken = "open sesame"\ntenant = "acme"\nuser = "u1"\n')
    return path


async def test_tokens(tmp_path: Path) -> None:
    async with served(ServerSettings(tokens=_tokens(tmp_path))) as server:
        bearer = ("authorization", "Bearer open sesame")
        await server.info.GetServerInfo(GetServerInfoRequest(), metadata=(bearer,))
        nobody = await refused(server.info.GetServerInfo(GetServerInfoRequest()))
        assert nobody.reason is Reason.CREDENTIALS_INVALID
        claim = server.info.GetServerInfo(GetServerInfoRequest(), metadata=(bearer, ("x-tenant-id", "other")))
        assert (await refused(claim)).reason is Reason.ACCESS_DENIED


async def test_metadata_that_is_wrong() -> None:
    async with served() as server:
        for tenants in (("",), ("a", "b"), ("a/b",)):
            metadata = tuple(("x-tenant-id", tenant) for tenant in tenants)
            refusal = await refused(server.info.GetServerInfo(GetServerInfoRequest(), metadata=metadata))
            assert (refusal.reason, refusal.metadata) == (Reason.METADATA_INVALID, {"key": "x-tenant-id"})


def test_beyond_loopback_it_takes_tls_and_tokens(tmp_path: Path) -> None:
    engine = create_flowstate(flows=[]).engine()
    with pytest.raises(ValueError, match="refusing to listen"):
        FlowStateServer(engine, ServerSettings(listen="0.0.0.0:0"))
    with pytest.raises(ValueError, match="refusing to listen"):
        FlowStateServer(engine, ServerSettings(listen="0.0.0.0:0", tokens=_tokens(tmp_path)))


async def test_tls() -> None:
    certificate, key = TLS / "localhost.cert.pem", TLS / "localhost.key.pem"
    async with served(ServerSettings(tls_cert=certificate, tls_key=key)) as server:
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        async with aio.secure_channel(
            server.address.replace("127.0.0.1", "localhost"), credentials
        ) as channel:
            await ServerServiceStub(channel).GetServerInfo(GetServerInfoRequest())


async def test_a_port_is_not_shared() -> None:
    async with served() as server:
        second = FlowStateServer(create_flowstate(flows=[]).engine(), ServerSettings(listen=server.address))
        with pytest.raises(OSError, match="in use"):
            await second.start()


async def test_a_drain_lets_calls_and_runs_end(access: AccessRecords) -> None:
    async with served() as server:
        call = flows.CallActionRequest(spec=spec("hold", request_id="r1"))
        waiting = asyncio.ensure_future(_reply(server, call))
        await server.gate.reached.wait()
        tail = server.events.TailEvents(events.TailEventsRequest(request_id="r1"))
        await tail.read()
        watch = _watch(server)
        assert await _status(watch) == SERVING

        stopping = asyncio.ensure_future(server.server.stop(drain_grace=5.0))
        assert await _status(watch) == NOT_SERVING
        assert (await refused_stream(watch)).reason is Reason.SERVER_DRAINING
        server.gate.opened.set()
        assert (await waiting).action_request.output.json == '"held"'
        assert (await read_all(tail))[-1].HasField("ended")
        await stopping
        records = await access.count(3)
    assert {vars(record)["code"] for record in records} == {"OK", "UNAVAILABLE"}


async def test_w13_who_follows_a_run_sees_its_end_and_new_calls_are_told_that_the_server_goes() -> None:
    async with served() as server:
        started = server.flows.StreamAction(flows.StreamActionRequest(spec=spec("hold", request_id="r1")))
        await server.gate.reached.wait()
        tails = [server.events.TailEvents(events.TailEventsRequest(request_id="r1")) for _ in range(3)]
        for tail in tails:
            await tail.read()
        stopping = asyncio.ensure_future(server.server.stop(drain_grace=8.0))
        await until(lambda: server.server._admission.draining)
        await asyncio.sleep(2.2)  # longer than other streams are given, and the port is still open
        late = server.events.TailEvents(events.TailEventsRequest(request_id="r1"))
        assert (await refused_stream(late)).reason is Reason.SERVER_DRAINING
        async with aio.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub: Any = FlowServiceStub(channel)
            dispatch = stub.DispatchAction(flows.DispatchActionRequest(spec=spec()))
            assert (await refused(dispatch)).reason is Reason.SERVER_DRAINING
        began = asyncio.get_running_loop().time()
        server.gate.opened.set()
        for tail in tails:
            frames = await read_all(tail)
            assert frames[-1].HasField("ended")
        assert (await read_all(started))[-1].tail.HasField("ended")
        await stopping
        assert asyncio.get_running_loop().time() - began < 2.0, "it waited for nothing"


async def test_w13_who_follows_a_run_that_outlasts_the_grace_is_told_to_go_elsewhere() -> None:
    async with served() as server:
        await server.flows.DispatchAction(flows.DispatchActionRequest(spec=spec("hold", request_id="r1")))
        tail = server.events.TailEvents(events.TailEventsRequest(request_id="r1"))
        await tail.read()
        stopping = asyncio.ensure_future(server.server.stop(drain_grace=1.0))
        assert (await refused_stream(tail)).reason is Reason.SERVER_DRAINING
        await stopping


async def _reply(server: Served, call: flows.CallActionRequest) -> flows.CallActionResponse:
    return await server.flows.CallAction(call)


async def test_what_outlasts_the_drain_is_told_and_interrupted() -> None:
    async with served() as server:
        waiting = asyncio.ensure_future(
            refused(_reply(server, flows.CallActionRequest(spec=spec("hold", request_id="r1"))))
        )
        await server.gate.reached.wait()
        await server.server.stop(drain_grace=0.3)
        assert (await waiting).reason is Reason.SERVER_DRAINING
        assert server.gate.cancelled.is_set()


async def test_new_runs_are_refused_while_streams_are_ended() -> None:
    async with served() as server:
        await server.flows.DispatchAction(flows.DispatchActionRequest(spec=spec("hold", request_id="r1")))
        tail = server.events.TailEvents(events.TailEventsRequest(request_id="r1"))
        await tail.read()
        server.server._admission.drain(60.0)
        dispatch = server.flows.DispatchAction(flows.DispatchActionRequest(spec=spec()))
        assert (await refused(dispatch)).reason is Reason.SERVER_DRAINING
        stream = server.flows.StreamAction(flows.StreamActionRequest(spec=spec()))
        assert (await refused_stream(stream)).reason is Reason.SERVER_DRAINING
        await server.flows.GetActionRequest(flows.GetActionRequestRequest(request_id="r1"))


async def test_a_second_stop_cuts_the_first_short() -> None:
    async with served() as server:
        calls = flows.CallActionRequest(spec=spec("hold", request_id="r1"))
        waiting = asyncio.ensure_future(refused(_reply(server, calls)))
        await server.gate.reached.wait()
        watch = _watch(server)
        assert await _status(watch) == SERVING
        stopping = asyncio.ensure_future(server.server.stop(drain_grace=60.0))
        assert await _status(watch) == NOT_SERVING
        stopping.cancel()
        await server.server.stop(drain_grace=0.0)
        await asyncio.gather(waiting, return_exceptions=True)
