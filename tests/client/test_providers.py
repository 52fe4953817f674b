"""Providers of metadata: what they give, when they are asked, and how they fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
import pytest

import flowstate_client
from flowstate_client import FlowStateClient, ItemDelta, MetadataProvider, Unauthenticated, sync
from tests.client.conftest import FAST
from tests.client.fake_tails import Context, refuse
from tests.client.fakes import FakeServer
from tests.client.server_thread import ServerThread


class Tokens:
    """Gives the token ``1``, then ``2`` and so on."""

    def __init__(self, *, last: int = 99) -> None:
        self.asked = 0
        self.last = last

    async def __call__(self) -> Mapping[str, str]:
        self.asked += 1
        return {"authorization": f"Bearer {min(self.asked, self.last)}"}


def connect(server: FakeServer, provider: MetadataProvider) -> FlowStateClient:
    return FlowStateClient.connect(server.target, user="u1", config=FAST, metadata=provider)


def accept(server: FakeServer, *tokens: str) -> list[str]:
    """Lets only these in; gives all that come."""
    seen: list[str] = []

    async def check(request: Any, context: Context) -> None:
        token = str(dict(context.invocation_metadata() or ())["authorization"])
        seen.append(token.removeprefix("Bearer "))
        if seen[-1] not in tokens:
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")

    server.flows.before = check
    return seen


async def test_a_token_that_is_refused_is_renewed_once(server: FakeServer) -> None:
    seen = accept(server, "2")
    async with connect(server, Tokens()) as client:
        await client.flows.dispatch("f", "a")
    assert seen == ["1", "2"]
    assert server.flows.seen[0].spec.request_id == server.flows.seen[1].spec.request_id


async def test_a_second_refusal_is_raised(server: FakeServer) -> None:
    seen = accept(server, "none")
    async with connect(server, Tokens()) as client:
        with pytest.raises(Unauthenticated):
            await client.flows.dispatch("f", "a")
    assert seen == ["1", "2"]


async def test_the_same_token_is_not_sent_again(server: FakeServer) -> None:
    seen = accept(server, "none")
    tokens = Tokens(last=1)
    async with connect(server, tokens) as client:
        with pytest.raises(Unauthenticated):
            await client.flows.dispatch("f", "a")
    assert (seen, tokens.asked) == (["1"], 2)


async def test_a_token_of_the_client_itself_is_sent_once(server: FakeServer) -> None:
    seen = accept(server, "none")
    async with FlowStateClient.connect(server.target, token="t", config=FAST) as client:
        with pytest.raises(Unauthenticated):
            await client.flows.dispatch("f", "a")
    assert seen == ["t"]


async def test_a_stream_renews_its_token_too(server: FakeServer) -> None:
    seen: list[str] = []
    follow = server.events.serve

    async def checked(request: Any, context: Context) -> AsyncIterator[Any]:
        seen.append(str(dict(context.invocation_metadata() or ())["authorization"]))
        if len(seen) in (1, 3):  # at the beginning, and after it broke
            await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
        async for frame in follow(request, context):
            yield frame
            if len(seen) == 2 and frame.WhichOneof("frame") == "batch":
                await refuse(context, grpc.StatusCode.UNAVAILABLE)

    server.events.serve = checked
    await server.events.log.append("a", "b", "c")
    await server.events.log.finish()
    async with connect(server, Tokens()) as client:
        events = [event async for event in client.flows.handle("req_1").events()]
    assert [event.text for event in events if isinstance(event, ItemDelta)] == ["a", "b", "c"]
    assert len(seen) == len(set(seen)) == 4


async def test_a_stream_whose_new_token_is_refused_raises(server: FakeServer) -> None:
    async def refused(request: Any, context: Context) -> AsyncIterator[Any]:
        await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")
        yield

    server.events.serve = refused
    async with connect(server, Tokens()) as client:
        with pytest.raises(Unauthenticated):
            await anext(client.flows.handle("req_1").events())
    assert len(server.events.requests) == 2


async def test_what_a_provider_raises_the_call_raises(server: FakeServer) -> None:
    async def fail() -> Mapping[str, str]:
        raise LookupError("no token")

    async with connect(server, fail) as client:
        with pytest.raises(LookupError, match="no token"):
            await client.flows.dispatch("f", "a")
        with pytest.raises(LookupError, match="no token"):
            await anext(client.flows.handle("r").events())
    assert not server.flows.seen
    assert not server.events.requests


async def test_a_provider_that_hangs_is_waited_for_as_long_as_the_call(server: FakeServer) -> None:
    async def hang() -> Mapping[str, str]:
        await asyncio.Event().wait()
        return {}

    async with connect(server, hang) as client:
        with pytest.raises(flowstate_client.TimeoutError, match="provider of metadata has not answered"):
            await client.flows.dispatch("f", "a", timeout=0.1)


async def test_a_provider_may_be_a_plain_function(server: FakeServer) -> None:
    async with connect(server, lambda: {"x-trace": "7"}) as client:
        await client.flows.dispatch("f", "a")
    assert server.flows.metadata[0]["x-trace"] == "7"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"Authorization": "x"}, "metadata key 'Authorization': only lower-case"),
        ({"authorization": "secret\n"}, "metadata 'authorization': the value must be printable ASCII"),
        ({"authorization": ""}, "the value must be printable ASCII text, not empty"),
        ({"x-trace": 7}, "metadata 'x-trace': the value must be printable ASCII"),
        ({"grpc-timeout": "1S"}, "'grpc-' and '-bin' keys"),
        ("token", "metadata must be a mapping, not str"),
        (None, "metadata must be a mapping, not NoneType"),
    ],
)
async def test_what_cannot_be_sent_is_refused_ahead(server: FakeServer, given: Any, problem: str) -> None:
    async with connect(server, lambda: given) as client:
        with pytest.raises((ValueError, TypeError), match=problem) as caught:
            await client.flows.dispatch("f", "a")
    assert "secret" not in str(caught.value)
    assert not server.flows.seen


def test_a_function_of_the_synchronous_client_may_block_and_even_call_another_client() -> None:
    threads: list[str] = []

    def provide() -> Mapping[str, str]:
        threads.append(threading.current_thread().name)
        return {"x-trace": str(other.server.supports("FlowService/CallAction"))}

    with ServerThread() as server, server.connect(user="ada") as other:
        with sync.FlowStateClient.connect(server.target, user="ada", metadata=provide) as client:
            assert client.flows.call("chat", "say", "x") == "x "
    assert threads
    assert not {"MainThread", "flowstate-client"} & set(threads)
