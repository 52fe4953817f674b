"""An action started and followed in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from grpc import aio

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.flow_service_pb2 import StreamActionRequest, StreamActionResponse
from flowstate_client import ActionAborted, AlreadyExists
from flowstate_client.testing import FaultProxy, record_events
from flowstate_server.flows import Audience, Context
from flowstate_server.stores.store import Store
from tests.support.frames import Frame, check_frames, events_of, is_caught_up
from tests.support.hosted import hosted, play, play_spec
from tests.support.wire import TRUSTED, read_all


@dataclass
class Held:
    """A run that shows one event and waits; ``reached`` counts its starts."""

    end: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    starts: int = 0

    async def body(self, ctx: Context) -> str:
        self.starts += 1
        await ctx.emit("here", audience=Audience.CLIENT)
        await ctx.emit("hidden")
        self.reached.set()
        await self.end.wait()
        return "done"


async def _next(call: aio.UnaryStreamCall[Any, Any]) -> StreamActionResponse:
    message = await call.read()
    assert isinstance(message, StreamActionResponse)
    return message


def _frames(messages: Sequence[StreamActionResponse]) -> list[Frame]:
    """Checks the first message, which is the request and nothing else."""
    assert messages[0].HasField("action_request")
    assert not messages[0].HasField("tail")
    assert not any(message.HasField("action_request") for message in messages[1:])
    return [message.tail for message in messages[1:]]


@pytest.mark.parametrize("metadata", [(), TRUSTED], ids=["client", "trusted"])
async def test_a_stream_is_the_tail_of_its_request(
    store: Store, metadata: tuple[tuple[str, str], ...]
) -> None:
    held = Held()
    held.end.set()
    async with hosted(play(held.body), store=store) as server:
        request = StreamActionRequest(spec=play_spec("r1"))
        streamed = await read_all(server.flows.StreamAction(request, metadata=metadata))
        attached = await read_all(server.flows.StreamAction(request, metadata=metadata))
        tail = await read_all(server.events.TailEvents(TailEventsRequest(request_id="r1"), metadata=metadata))
    assert (streamed[0].attached, attached[0].attached) == (False, True)
    events = check_frames(tail)
    assert check_frames(_frames(streamed)) == events
    assert _frames(attached) == tail
    assert held.starts == 1
    assert any(event.type == "block.started" for event in events) == bool(metadata)


async def test_attach_and_follow_while_it_runs(store: Store) -> None:
    """A repeat, a tail and a stream, of a run that is under way: all of them see all of it."""
    held = Held()
    async with hosted(play(held.body), store=store) as server, server.client() as client:
        run = await client.flows.dispatch("play", "play", {}, request_id="r1")
        await held.reached.wait()
        again = await client.flows.dispatch("play", "play", {}, request_id="r1")
        assert (run.attached, again.attached) == (False, True)
        stream = client.flows.stream("play", "play", {}, request_id="r1")
        readers = [asyncio.ensure_future(record_events(one)) for one in (run, again, stream)]
        call = server.flows.StreamAction(StreamActionRequest(spec=play_spec("r1")))
        messages = [await _next(call)]
        while not (messages[-1].HasField("tail") and is_caught_up(messages[-1].tail)):
            messages.append(await _next(call))
        held.end.set()
        async with asyncio.timeout(10):
            seen = await asyncio.gather(*readers)
            messages += await read_all(call)
        assert stream.run.attached
        assert await again.result(str) == "done"
        with pytest.raises(AlreadyExists):
            await client.flows.dispatch("play", "play", {"other": 1}, request_id="r1")
    assert seen[0] == seen[1] == seen[2]
    assert [event.sequence for event in seen[0]] == [one.sequence for one in events_of(_frames(messages))]
    assert held.starts == 1


@pytest.mark.parametrize("how", ["break", "cut"])
@pytest.mark.parametrize("asked", [False, True])
async def test_a_stream_that_is_left_takes_its_run_with_it_only_if_asked_to(
    store: Store, asked: bool, how: str
) -> None:
    held = Held()
    async with (
        hosted(play(held.body), store=store) as server,
        FaultProxy(server.address) as faults,
        server.client(faults.target) as client,
    ):
        stream = client.flows.stream("play", "play", cancel_on_disconnect=asked)
        async with asyncio.timeout(10):
            async with stream:
                async for event in stream:
                    if event.type == "custom" and how == "cut":
                        faults.cut()
                        if not asked:
                            held.end.set()
                    elif event.type == "custom":
                        break
            last = event
            await server.no_streams()
            if asked:
                with pytest.raises(ActionAborted):
                    await stream.run.result()
                assert (await record_events(stream.run))[-1].type == "request.aborted"
            else:
                held.end.set()
                assert await stream.run.result(str) == "done"
    ends = {(True, "cut"): "request.aborted", (False, "cut"): "request.completed"}
    assert last.type == ends.get((asked, how), "custom")
    assert held.starts == 1


async def test_a_stream_that_has_ended_or_attached_cancels_nothing(store: Store) -> None:
    held = Held()
    async with hosted(play(held.body), store=store) as server, server.client() as client:
        run = await client.flows.dispatch("play", "play", {}, request_id="r1")
        stream = client.flows.stream("play", "play", {}, request_id="r1", cancel_on_disconnect=True)
        async with asyncio.timeout(10):
            async with stream:
                assert [(await anext(stream)).type for _ in range(3)][-1] == "custom"
            await server.no_streams()
            assert (await run.get()).status.name == "IN_PROGRESS"
            held.end.set()
            whole = client.flows.stream("play", "play", {}, request_id="r2", cancel_on_disconnect=True)
            assert (await record_events(whole))[-1].type == "request.completed"
            assert await run.result(str) == "done"
