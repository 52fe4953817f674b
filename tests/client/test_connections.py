"""What travels beside a call, how connections are made, and the proxies that tests use."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest

from flowstate_client import ClientConfig, ConnectError, FlowStateClient, ResourceExhausted
from flowstate_client.addresses import joined, turned
from flowstate_client.channel import channel_options, is_loopback, service_config
from flowstate_client.config import client_version
from flowstate_client.testing import FaultProxy
from flowstate_server.testing.waiting import until
from tests.client.conftest import FAST
from tests.client.fake_tails import Context, Tail, refuse
from tests.client.fakes import FakeServer


async def test_metadata_of_a_call(server: FakeServer) -> None:
    tokens = iter(["Bearer one", "Bearer two"])

    async def fresh() -> Mapping[str, str]:
        return {"authorization": next(tokens), "traceparent": "00-1"}

    async with FlowStateClient.connect(
        server.target, tenant="acme", plane="trusted", user="u1", org="o1", metadata=fresh
    ) as client:
        await client.flows.dispatch("chat", "say")
        await client.flows.dispatch("chat", "say")
    first, second = server.flows.metadata
    expected = {
        "x-tenant-id": "acme",
        "x-flowstate-plane": "trusted",
        "x-flowstate-user": "u1",
        "x-flowstate-org": "o1",
        "authorization": "Bearer one",
        "traceparent": "00-1",
    }
    assert expected.items() <= first.items()
    assert str(first["user-agent"]).startswith(f"flowstate-py/{client_version()} grpc-python-asyncio/")
    assert second["authorization"] == "Bearer two"
    assert first["x-correlation-id"] != second["x-correlation-id"]


async def test_a_token_and_nothing_else(server: FakeServer) -> None:
    async with FlowStateClient.connect(server.target, token="secret") as client:
        await client.flows.dispatch("chat", "say")
    metadata = server.flows.metadata[0]
    assert metadata["authorization"] == "Bearer secret"
    assert not [key for key in metadata if key.startswith(("x-tenant", "x-flowstate"))]


@pytest.mark.parametrize(
    "arguments",
    [
        {"tenant": ""},
        {"tenant": "a b"},
        {"tenant": "-a"},
        {"tenant": "a" * 129},
        {"tenant": "ü"},
        {"user": "a\x85b"},
        {"user": ""},
        {"user": "a\nb"},
        {"org": "\udc80"},
        {"token": "a\r\nx-tenant-id: b"},
        {"plane": "root"},
    ],
)
def test_metadata_that_cannot_be_sent_is_a_value_error(arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError) as caught:
        FlowStateClient.connect("127.0.0.1:1", **arguments)  # type: ignore[arg-type]
    (value,) = arguments.values()
    assert len(value) < 5 or value not in str(caught.value)


@pytest.mark.parametrize("metadata", [{"Upper": "x"}, {"k": "ü"}, {"k": ""}, {"grpc-x": "y"}, {"a-bin": "y"}])
async def test_what_a_provider_gives_is_checked(server: FakeServer, metadata: dict[str, str]) -> None:
    async def provider() -> Mapping[str, str]:
        return metadata

    async with FlowStateClient.connect(server.target, metadata=provider) as client:
        with pytest.raises(ValueError, match="metadata"):
            await client.flows.dispatch("chat", "say")
        with pytest.raises(ValueError, match="metadata"):
            await anext(client.flows.handle("r").events())
    assert server.flows.seen == []


NO_ADDRESSES = {
    "": "target '' must be host:port",
    "host name:1": "target 'host name:1' must be host:port",
    "localhost": "target 'localhost' must be host:port",
    "::1:7437": "target '::1:7437' must be host:port",
    "a:http": "target 'a:http' must be host:port",
    "a:0": "target 'a:0' must be host:port",
    "a:65536": "target 'a:65536' must be host:port",
    "a:1,b:2": "target 'a:1,b:2' must be host:port",
    "http://host:1": "target 'http://host:1': give host:1 without http://",
    "https://host:1/": "give host:1 without https://",
}


@pytest.mark.parametrize(("target", "problem"), NO_ADDRESSES.items(), ids=repr)
def test_a_target_must_be_an_address(target: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        FlowStateClient.connect(target)


@pytest.mark.parametrize("target", [None, 7437, b"a:1", ["a:1", 5], [None]], ids=repr)
def test_a_target_must_be_text(target: Any) -> None:
    culprit = target[-1] if isinstance(target, list) else target
    with pytest.raises(TypeError, match=re.escape(f"not {culprit!r}")):
        FlowStateClient.connect(target)


@pytest.mark.parametrize(
    "target",
    [
        "localhost:1",
        "my_service.example:65535",
        "[::1]:7437",
        "unix:relative/path",
        "unix:///absolute/path",
        "unix-abstract:name",
        "ipv4:127.0.0.1:1,127.0.0.2:2",
        "ipv6:[::1]:1",
        "dns:///host:1",
        "dns:///host",
        "dns://8.8.8.8/host:1",
    ],
)
def test_targets_of_grpc_are_addresses(target: str) -> None:
    assert FlowStateClient.connect(target).target == target


def test_channel_options() -> None:
    options = dict(channel_options("db.example:443", ClientConfig(channel_options=(("grpc.x", 1),))))
    assert options["grpc.keepalive_time_ms"] == 15_000
    assert options["grpc.keepalive_timeout_ms"] == 5_000
    assert options["grpc.keepalive_permit_without_calls"] == 0
    assert options["grpc.http2.ping_timeout_ms"] == 5_000
    assert options["grpc.use_local_subchannel_pool"] == 1
    assert options["grpc.x"] == 1
    assert "grpc.enable_http_proxy" not in options
    policy = json.loads(service_config(ClientConfig()))["methodConfig"][0]["retryPolicy"]
    assert (policy["maxAttempts"], policy["retryableStatusCodes"]) == (4, ["UNAVAILABLE"])
    for target in (
        "127.0.0.1:1",
        "localhost:1",
        "dns:///localhost:1",
        "[::1]:1",
        "unix:///x",
        "ipv4:127.0.0.1:1",
    ):
        assert is_loopback(target), target
    assert not is_loopback("localhost.example.org.invalid:1".removeprefix("localhost"))


async def test_tails_have_connections_of_their_own(server: FakeServer, proxy: FaultProxy) -> None:
    await server.events.log.append("a")
    config = ClientConfig(tails_per_connection=2, backoff=FAST.backoff)
    async with FlowStateClient.connect(proxy.target, config=config) as client:
        await client.server.info()
        assert proxy.accepted == 1
        streams = [client.flows.handle("req_1").events() for _ in range(5)]
        await asyncio.gather(*(anext(stream) for stream in streams))
        assert proxy.accepted == 1 + 3
        for stream in streams:
            await stream.aclose()
        again = client.flows.handle("req_1").events()
        await anext(again)
        assert proxy.accepted == 1 + 3, "a place that was given back is used again"
        await again.aclose()


async def test_resuming_uses_the_same_channel(
    server: FakeServer, proxy: FaultProxy, proxied: FlowStateClient
) -> None:
    await server.events.log.append("a")
    async with proxied.flows.handle("req_1").events() as stream:
        await anext(stream)
        for text in "bcd":
            proxy.cut()
            await server.events.log.append(text)
            await anext(stream)
        assert len(proxied._opened.caller.channels._tail_connections) == 1


@pytest.fixture
async def other() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    await fake.start()
    yield fake
    await fake.stop()


async def _drain(request: Any, context: Context) -> None:
    await refuse(context, grpc.StatusCode.UNAVAILABLE, "SERVER_DRAINING")


async def test_calls_leave_a_server_that_drains_at_once(server: FakeServer, other: FakeServer) -> None:
    server.flows.before = server.sessions.before = _drain
    async with FlowStateClient.connect(f"ipv4:{server.target},{other.target}", config=FAST) as client:
        await client.flows.dispatch("chat", "say")
        assert (len(server.flows.seen), len(other.flows.seen)) == (1, 1)
        await client.sessions.create("chat", user_id="u")
        await client.sessions.get("sess_1")
        assert not server.sessions.seen, "all later calls go to the other one"
        other.flows.before, server.flows.before = _drain, None
        await client.flows.dispatch("chat", "say")
        assert (len(server.flows.seen), len(other.flows.seen)) == (2, 2), "and back, when that one drains"


async def test_a_read_leaves_a_server_that_drains(server: FakeServer, other: FakeServer) -> None:
    await _with_a_session(other)
    server.sessions.before = _drain
    async with FlowStateClient.connect(f"ipv4:{server.target},{other.target}", config=FAST) as client:
        assert (await client.sessions.get("sess_1")).id == "sess_1"


async def _with_a_session(server: FakeServer) -> None:
    async with FlowStateClient.connect(server.target, user="u") as client:
        await client.sessions.create("chat")


async def test_a_call_under_way_stays_where_others_leave(server: FakeServer, other: FakeServer) -> None:
    drained = asyncio.Event()

    async def first_waits(request: Any, context: Context) -> None:
        if len(server.flows.seen) > 1:
            await _drain(request, context)
        await drained.wait()

    server.flows.before = first_waits
    await server.events.log.append("a")
    async with FlowStateClient.connect(f"ipv4:{server.target},{other.target}", config=FAST) as client:
        stays, follows = client.flows.handle("req_1").events(), client.flows.handle("req_1").events()
        await anext(stays)
        first = asyncio.create_task(client.flows.dispatch("chat", "say", request_id="first"))
        await until(lambda: server.flows.seen)
        await client.flows.dispatch("chat", "say", request_id="second")
        drained.set()
        await first
        assert [request.spec.request_id for request in other.flows.seen] == ["second"]

        async def drains(request: Any, context: Any) -> AsyncIterator[Tail]:
            await _drain(request, context)
            yield server.events.started(0)

        server.events.serve = drains
        await other.events.log.append("a")
        assert (await anext(follows)).sequence == 1
        await server.events.log.append("b")
        assert (await anext(stays)).sequence == 2
        await stays.aclose()
        await follows.aclose()


def test_targets_are_turned() -> None:
    assert turned("ipv4:a:1,b:2,c:3") == "ipv4:b:2,c:3,a:1"
    assert turned("ipv6:///[::1]:1,[::2]:2") == "ipv6:///[::2]:2,[::1]:1"
    for one in ("ipv4:a:1", "dns:///host:1", "host:1", "unix:a,b"):
        assert turned(one) == one


async def echo(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


@pytest.fixture
async def echo_target() -> object:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    echo_server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"127.0.0.1:{echo_server.sockets[0].getsockname()[1]}"
    echo_server.close()


async def test_the_fault_proxy(echo_target: str) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(10), FaultProxy(echo_target) as proxy:
        reader, writer = await echo(proxy)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        assert (proxy.accepted, proxy.connections) == (1, 1)

        proxy.delay(0.1)
        began = loop.time()
        writer.write(b"late")
        assert await reader.readexactly(4) == b"late"
        assert loop.time() - began >= 0.2
        proxy.heal()

        proxy.throttle(100)
        began = loop.time()
        writer.write(b"0123456789")
        await reader.readexactly(10)
        assert loop.time() - began >= 0.2
        proxy.heal()

        proxy.stall()
        writer.write(b"stuck")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.read(1)
        proxy.heal()
        assert await reader.readexactly(5) == b"stuck"

        proxy.cut_after(3)
        writer.write(b"abcdef")
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(6)
        writer.close()

        reader, writer = await echo(proxy)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.half_close()
        assert await reader.read() == b""
        writer.close()

        reader, writer = await echo(proxy)
        writer.write(b"x")
        await reader.readexactly(1)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()

        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await echo(proxy)
        await proxy.accept()
        reader, writer = await echo(proxy)
        writer.write(b"back")
        assert await reader.readexactly(4) == b"back"
        writer.close()


async def test_a_message_over_the_limit_does_not_come_in(server: FakeServer) -> None:
    server.flows.complete("x" * 10_000)
    async with FlowStateClient.connect(server.target, config=ClientConfig(max_message_bytes=5000)) as client:
        with pytest.raises(ResourceExhausted, match="larger than max"):
            await client.flows.handle("req_1").get()


async def test_of_several_servers_one_is_enough(server: FakeServer) -> None:
    port = server.target.rpartition(":")[2]
    targets = ["127.0.0.1:1", f"localhost:{port}", "127.0.0.1:2"]
    for _ in range(5):
        async with FlowStateClient.connect(targets, config=FAST) as client:
            await client.flows.dispatch("chat", "say")
    assert len(server.flows.seen) == 5


@pytest.mark.parametrize("targets", [[], [""], ["a:1", "b"], ["a:1", "dns:///b"], ["a :1"], ["a:1", "b:x"]])
def test_targets_that_are_none(targets: list[str]) -> None:
    with pytest.raises(ValueError, match="must be"):
        FlowStateClient.connect(targets)


async def test_a_name_without_address_is_told() -> None:
    client = FlowStateClient.connect(["127.0.0.1:1", "no-such-host.invalid:7437"])
    with pytest.raises(ConnectError, match=r"no-such-host\.invalid has no address"):
        await client.__aenter__()


async def test_targets_of_two_families_are_told() -> None:
    with pytest.raises(ConnectError, match="no address of one family"):
        await joined(["127.0.0.1:1", "[::1]:2"])
