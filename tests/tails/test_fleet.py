"""Any server on the same file serves any request, also after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate_client import ActionAborted, CustomEvent, Event
from flowstate_client.testing import record_events
from flowstate_server.errors import Reason
from flowstate_server.flows import Audience, Context
from flowstate_server.stores.store import Store
from tests.support.frames import check_frames, events_of, is_caught_up, read_until
from tests.support.hosted import hosted, play
from tests.support.wire import TRUSTED, read_all, refused_stream

OpenFile = Callable[[], Store]


def _numbers(events: list[Event]) -> list[int]:
    return [event.data for event in events if isinstance(event, CustomEvent)]


async def test_a_request_that_ended_is_replayed_after_a_restart(open_file: OpenFile) -> None:
    async def body(ctx: Context) -> str:
        async with ctx.message() as message:
            await message.write("hello")
        for number in range(400):
            await ctx.emit("n", number, audience=Audience.CLIENT, transient=bool(number % 2))
        return "done"

    request = TailEventsRequest(request_id="r1")
    async with hosted(play(body), store=open_file()) as server, server.client() as client:
        await server.run("r1", session_id="s1")
        before = await read_all(server.events.TailEvents(request))
        trusted = await read_all(server.events.TailEvents(request, metadata=TRUSTED))
        first = await record_events(client.flows.handle("r1"))
    async with hosted(play(body), store=open_file()) as server, server.client() as client:
        after = await read_all(server.events.TailEvents(request))
        assert events_of(after) == events_of(before)
        assert after[-1] == before[-1]
        again = await read_all(server.events.TailEvents(request, metadata=TRUSTED))
        assert events_of(again) == events_of(trusted)
        assert await record_events(client.flows.handle("r1")) == first
        middle = first[200].cursor
        rest = [event async for event in client.flows.handle("r1").events(after=middle)]
        assert rest == first[201:]
        assert await client.flows.handle("r1").result(str) == "done"
    check_frames(before)


async def test_a_tail_at_another_server_than_the_one_that_runs(open_file: OpenFile) -> None:
    turns = asyncio.Semaphore(0)

    async def body(ctx: Context) -> int:
        for number in range(50):
            await turns.acquire()
            await ctx.emit("n", number, audience=Audience.CLIENT)
        return 50

    async with (
        hosted(play(body), store=open_file()) as runs,
        hosted(play(body), store=open_file()) as other,
        other.client() as client,
    ):
        await runs.dispatch("r1")
        call = other.events.TailEvents(TailEventsRequest(request_id="r1"))
        seen: list[Event] = []
        async with asyncio.timeout(20):
            frames = await read_until(call, is_caught_up)
            turns.release()
            async for event in client.flows.handle("r1").events():
                seen.append(event)
                turns.release()
            frames += await read_all(call)
            assert await client.flows.handle("r1").result(int) == 50
    assert _numbers(seen) == list(range(50))
    assert [event.sequence for event in check_frames(frames)] == [event.sequence for event in seen]


async def test_a_tail_moves_between_servers(open_file: OpenFile) -> None:
    """The cursor of one server is good at the other, while the request runs and after."""
    turns = asyncio.Semaphore(0)

    async def body(ctx: Context) -> None:
        for number in range(20):
            await turns.acquire()
            await ctx.emit("n", number, audience=Audience.CLIENT)
            await ctx.emit("hidden")

    async with (
        hosted(play(body), store=open_file()) as one,
        hosted(play(body), store=open_file()) as two,
        one.client() as first,
        two.client() as second,
    ):
        await one.dispatch("r1")
        seen: list[Event] = []
        clients = [first, second]
        async with asyncio.timeout(20):
            turns.release()
            while not (seen and seen[-1].type == "request.completed"):
                clients.reverse()
                cursor = seen[-1].cursor if seen else None
                async for event in clients[0].flows.handle("r1").events(after=cursor):
                    seen.append(event)
                    turns.release()
                    if len(seen) % 3 == 0:
                        break
    assert _numbers(seen) == list(range(20))


async def test_a_tail_elsewhere_ends_with_the_run_whatever_ends_it(open_file: OpenFile) -> None:
    async def body(ctx: Context) -> None:
        await asyncio.Event().wait()

    async with hosted(play(body), store=open_file()) as other, other.client() as client:
        async with hosted(play(body), store=open_file()) as runs:
            for request_id in ("cancelled", "interrupted"):
                await runs.dispatch(request_id)
            cancelled = asyncio.ensure_future(record_events(client.flows.handle("cancelled")))
            interrupted = asyncio.ensure_future(record_events(client.flows.handle("interrupted")))
            await client.flows.handle("cancelled").cancel("enough")
            async with asyncio.timeout(10):
                assert (await cancelled)[-1].type == "request.aborted"
            try:
                await client.flows.handle("cancelled").result(timeout=5)
            except ActionAborted:
                pass
            else:
                raise AssertionError("the run was not aborted")
        async with asyncio.timeout(10):
            assert (await interrupted)[-1].type == "request.interrupted"


async def test_a_server_that_goes_down_sends_its_readers_elsewhere(open_file: OpenFile) -> None:
    async def body(ctx: Context) -> None:
        await asyncio.Event().wait()

    async with hosted(play(body), store=open_file()) as runs:
        await runs.dispatch("r1")
        async with hosted(play(body), store=open_file()) as leaves:
            call = leaves.events.TailEvents(TailEventsRequest(request_id="r1"))
            frames = await read_until(call, is_caught_up)
            stopping = asyncio.ensure_future(leaves.server.stop(drain_grace=0.5))
            refusal = await refused_stream(call)
            assert refusal.reason is Reason.SERVER_DRAINING
            await stopping
        call = runs.events.TailEvents(TailEventsRequest(request_id="r1", after=frames[-1].cursor))
        async with asyncio.timeout(5):
            assert (await read_until(call, is_caught_up))[0].cursor == frames[-1].cursor
        call.cancel()
