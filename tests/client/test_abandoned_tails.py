"""A tail that nobody reads any more is ended on the server at once, however it was left."""

from __future__ import annotations

import asyncio
import gc

import pytest

from flowstate_client import ClientClosedError, FlowStateClient
from tests.client.fakes import FakeServer

TAILS = 200


@pytest.fixture
async def log(server: FakeServer) -> FakeServer:
    await server.events.log.append(*"abc")
    gc.disable()  # reference counting has to do it
    return server


@pytest.fixture(autouse=True)
def collecting() -> object:
    yield
    gc.enable()


async def test_break(log: FakeServer, client: FlowStateClient) -> None:
    for _ in range(TAILS):
        async for event in client.flows.handle("req_1").events():
            assert event.sequence == 1
            break
    async with asyncio.timeout(5):
        await log.events.wait_live(0)
    assert len(log.events.requests) == TAILS
    assert log.events.dropped == TAILS


async def test_many_at_once_take_several_connections_and_all_go(
    log: FakeServer, client: FlowStateClient
) -> None:
    async def one() -> None:
        async for event in client.flows.handle("req_1").events():
            if event.sequence == 3:
                await opened.wait()
                break

    opened = asyncio.Event()
    tasks = [asyncio.create_task(one()) for _ in range(TAILS)]
    async with asyncio.timeout(20):
        await log.events.wait_live(TAILS)
        # Unary calls have a connection of their own.
        assert (await client.server.info()).version == "0.9.0"
        opened.set()
        await asyncio.gather(*tasks)
        await log.events.wait_live(0)
    leased = [len(c.leases) for c in client._opened.caller.channels._tail_connections]
    assert leased == [0, 0]


async def test_exception(log: FakeServer, client: FlowStateClient) -> None:
    kept: list[BaseException] = []
    for number in range(20):
        try:
            async for _ in client.flows.handle("req_1").events():
                raise RuntimeError(number)
        except RuntimeError as error:
            kept.append(error)  # with its traceback, and so with the frames it went through
    async with asyncio.timeout(5):
        await log.events.wait_live(0)


async def test_async_with_ends_a_tail_that_is_still_held(log: FakeServer, client: FlowStateClient) -> None:
    async with client.flows.handle("req_1").events() as events:
        await anext(events)
        await log.events.wait_live(1)
    async with asyncio.timeout(5):
        await log.events.wait_live(0)
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_cancelled_while_waiting(log: FakeServer, client: FlowStateClient) -> None:
    caught_up = asyncio.Event()

    async def follow() -> None:
        async for event in client.flows.handle("req_1").events():
            if event.sequence == 3:
                caught_up.set()

    tasks = [asyncio.create_task(follow()) for _ in range(20)]
    await log.events.wait_live(20)
    await caught_up.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(5):
        await log.events.wait_live(0)
    assert all(task.cancelled() for task in tasks)  # and they are still held


async def test_a_timeout_on_one_event_loses_nothing(log: FakeServer, client: FlowStateClient) -> None:
    events = client.flows.handle("req_1").events()
    assert [(await anext(events)).sequence for _ in range(3)] == [1, 2, 3]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await anext(events)
    async with asyncio.timeout(5):
        await log.events.wait_live(0)
        await log.events.log.append("d")
        assert (await anext(events)).sequence == 4
    await events.aclose()


async def test_aclose_from_another_task_ends_the_loop(log: FakeServer, client: FlowStateClient) -> None:
    events = client.flows.handle("req_1").events()
    loop = asyncio.ensure_future(_collect(events))
    await log.events.wait_live(1)
    await events.aclose()
    async with asyncio.timeout(5):
        seen = await loop
        await log.events.wait_live(0)
    assert len(seen) <= 3, "it ended, although the log goes on"


async def test_two_readers_of_one_stream_are_refused(log: FakeServer, client: FlowStateClient) -> None:
    events = client.flows.handle("req_1").events(after=3)
    first = asyncio.ensure_future(anext(events))
    await log.events.wait_live(1)
    with pytest.raises(RuntimeError, match="another task"):
        await anext(events)
    await log.events.log.append("d")
    assert (await first).sequence == 4
    await events.aclose()


async def test_closing_the_client_ends_its_tails(log: FakeServer, client: FlowStateClient) -> None:
    events = client.flows.handle("req_1").events(after=3)
    waiting = asyncio.ensure_future(anext(events))
    await log.events.wait_live(1)
    await client.close()
    with pytest.raises(ClientClosedError):
        await waiting
    async with asyncio.timeout(5):
        await log.events.wait_live(0)


async def test_an_abandoned_generator_around_a_tail(log: FakeServer, client: FlowStateClient) -> None:
    async def texts() -> object:
        async for event in client.flows.handle("req_1").events():
            yield event.type

    kinds: list[object] = []
    async for kind in texts():  # type: ignore[attr-defined]
        kinds.append(kind)
        break
    assert kinds == ["item.delta"]
    async with asyncio.timeout(5):
        await log.events.wait_live(0)


async def _collect(events: object) -> list[object]:
    return [event async for event in events]  # type: ignore[attr-defined]
