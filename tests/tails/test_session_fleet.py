"""A session's stream over several server processes: cut at random and resumed, it has every event once, in order."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from itertools import cycle, pairwise

import pytest

from flowstate_client import Backoff, ClientConfig, CustomEvent, Event, FlowStateClient
from flowstate_client.testing import FaultProxy
from flowstate_server.testing.server_process import server_processes
from tests.support.flows import APP
from tests.support.store_urls import SHARED, NewStore

WAVES = 5
"""Of requests that run at once; while one runs, each tail behind a proxy is cut."""
REQUESTS = 50
EVENTS = 20
"""Of each request."""
OF_A_WAVE = REQUESTS // WAVES * EVENTS * 40
"""Bytes that at least stand between a wave's first event and its last, for an event has more than 40."""
PATIENT = ClientConfig(timeout=30.0, connect_timeout=5.0, backoff=Backoff(initial=0.01, maximum=0.05))


@pytest.fixture(params=SHARED)
async def shared_url(request: pytest.FixtureRequest, new_store: NewStore) -> str:
    return await new_store(request.param)


async def _until_all_have_ended(client: FlowStateClient, ends: asyncio.Queue[Event]) -> list[Event]:
    events: list[Event] = []
    ended = 0
    async for event in client.sessions.events("s1"):
        events.append(event)
        if event.type == "request.completed":
            ended += 1
            ends.put_nowait(event)
        if ended == REQUESTS:
            return events
    raise AssertionError("the session's tail has ended")


async def _hop(clients: list[FlowStateClient], chance: random.Random) -> list[Event]:
    """Reads some events at one server, goes on at the other behind the last of them, and so on."""
    events: list[Event] = []
    ended = 0
    for client in cycle(clients):
        left = chance.randint(1, 60)
        async with client.sessions.events("s1", after=events[-1] if events else None) as stream:
            async for event in stream:
                events.append(event)
                ended += event.type == "request.completed"
                if ended == REQUESTS:
                    return events
                left -= 1
                if not left:
                    break
    raise AssertionError("there are no clients")


async def test_fifty_overlapping_requests_are_one_stream(shared_url: str) -> None:
    chance = random.Random(7)
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(server_processes(2, APP, store=shared_url))
        proxies = [await stack.enter_async_context(FaultProxy(server.target)) for server in servers]
        direct = [
            await stack.enter_async_context(
                FlowStateClient.connect(server.target, user="ada", config=PATIENT)
            )
            for server in servers
        ]
        cut = [
            await stack.enter_async_context(FlowStateClient.connect(proxy.target, user="ada", config=PATIENT))
            for proxy in proxies
        ]
        await direct[0].sessions.create("ledger", session_id="s1")
        async with asyncio.timeout(50), asyncio.TaskGroup() as tasks:
            ends: list[asyncio.Queue[Event]] = [asyncio.Queue() for _ in cut]
            tails = [
                tasks.create_task(_until_all_have_ended(client, queue))
                for client, queue in zip(cut, ends, strict=True)
            ]
            tails.append(tasks.create_task(_hop(direct, chance)))
            handles = []
            for _ in range(WAVES):
                for proxy in proxies:
                    proxy.cut_after(chance.randrange(OF_A_WAVE))
                runs = [
                    direct[number % 2].flows.dispatch("ledger", "flood", {"count": EVENTS}, session_id="s1")
                    for number in range(REQUESTS // WAVES)
                ]
                started = await asyncio.gather(*runs)
                for handle in started:
                    assert await handle.result(timeout=45.0) == EVENTS
                for queue in ends:
                    told = {(await queue.get()).request_id for _ in started}
                    assert told == {handle.request_id for handle in started}
                handles += started
            seen = [await tail for tail in tails]
        assert all(proxy.accepted > WAVES for proxy in proxies), "a tail was not cut"
        whole = [event async for event in direct[1].sessions.events("s1", replay_only=True)]
        _check(whole)
        for events in seen:
            assert events == whole
        for handle in handles[:3]:
            of_request = [event async for event in handle.events()]
            mine = [event for event in whole if event.request_id == handle.request_id]
            assert [event.event_id for event in of_request] == [event.event_id for event in mine]


def _check(events: list[Event]) -> None:
    places = [event.session_sequence for event in events]
    assert places == sorted(set(places)), "an event is missing its place, or came twice"
    assert len({event.event_id for event in events}) == len(events)
    by_request: dict[str, list[int]] = {}
    for event in events:
        by_request.setdefault(event.request_id, []).append(event.sequence)
    assert len(by_request) == REQUESTS
    assert all(sequences == sorted(set(sequences)) for sequences in by_request.values())
    numbers = Counter(event.request_id for event in events if isinstance(event, CustomEvent))
    assert set(numbers.values()) == {EVENTS}
    switches = sum(one.request_id != other.request_id for one, other in pairwise(events))
    assert switches > REQUESTS, "the requests did not overlap"
