"""SIGTERM while hundreds of tails are open: all go on at the other server, miss nothing and see nothing twice."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from flowstate_client import ClientConfig, CustomEvent, Event, FlowStateClient
from flowstate_server.testing.server_process import ServerProcess, server_processes
from flowstate_server.testing.waiting import soon, until
from tests.support.balancer import Balancer
from tests.support.inside import look_inside
from tests.support.server_logs import troubles
from tests.support.store_urls import SHARED, new_store_url
from tests.support.ticking_flow import KIND

APP = "tests.support.ticking_flow:app"
RUNS = 10
CLIENTS = 20
TAILS_PER_CLIENT = 25
TICKS = 60
PAUSE = 0.5
"""Seconds between two ticks of a run."""
GAP_SECONDS = {"addresses": 5.0, "balancer": 5.0, "round robin": 10.0}
"""For 99 of 100. Where gRPC itself spreads calls, each attempt may meet the server that goes again, and pauses grow."""
NOTICED_SECONDS = 1.0
"""After which the balancer sends nobody to a server that goes."""

_log = logging.getLogger(__name__)


@dataclass
class Tail:
    """What one reader has seen, and when."""

    of_session: bool
    events: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    @property
    def ticks(self) -> list[int]:
        return [event.data["number"] for event in self.events if isinstance(event, CustomEvent)]

    def gap_after(self, moment: float) -> float:
        """The longest time without an event, from the last one before ``moment`` on."""
        behind = [max((seen for seen in self.times if seen <= moment), default=moment)]
        behind += [seen for seen in self.times if seen > moment]
        return max((later - earlier for earlier, later in pairwise(behind)), default=0.0)


@pytest.mark.soak
@pytest.mark.parametrize("store", SHARED)
@pytest.mark.parametrize("way", GAP_SECONDS)
async def test_sigterm_with_500_tails(way: str, store: str, tmp_path: Path) -> None:
    async with (
        new_store_url(store, tmp_path) as url,
        server_processes(2, APP, store=url, log_level="info") as (leaving, staying),
        _clients(way, [leaving.target, staying.target]) as (clients, balancer),
        FlowStateClient.connect(staying.target, user="u") as at_staying,
        FlowStateClient.connect(leaving.target, user="u") as at_leaving,
    ):
        for number in range(RUNS):
            value = {"count": TICKS, "pause": PAUSE}
            await at_staying.flows.dispatch(
                KIND, "tick", value, request_id=f"r{number}", session_id=f"s{number}"
            )
        tails = [Tail(of_session=number % 2 == 1) for number in range(CLIENTS * TAILS_PER_CLIENT)]
        following: list[asyncio.Task[None]] = []
        # First one of each client, so that those that spread their calls are connected with both servers.
        for some in (tails[:CLIENTS], tails[CLIENTS:]):
            for tail in some:
                number = len(following)
                reading = _follow(clients[number % CLIENTS], number // CLIENTS % RUNS, tail)
                following.append(asyncio.create_task(reading))
            await until(lambda: all(tail.ticks for tail in some), what="the first event of each tail")  # noqa: B023
        moved = (await look_inside(at_leaving)).streams
        assert moved, "nobody has to go"
        moment = time.monotonic()
        stopping = asyncio.create_task(leaving.terminate())
        if balancer is not None:
            await asyncio.sleep(NOTICED_SECONDS)
            balancer.leave(leaving.target)
        await soon(asyncio.gather(*following), TICKS * PAUSE + 60.0)
        assert await soon(stopping) == 0
        _assert_whole(tails)
        _assert_moved(leaving, staying, moved)
    gaps = sorted(tail.gap_after(moment) for tail in tails)
    _log.info("%s on %s: %s of %s tails moved", way, store, moved, len(tails))
    _log.info("gaps: half %.2f s, 99 %% %.2f s, all %.2f s", gaps[len(gaps) // 2], _p99(gaps), gaps[-1])
    assert _p99(gaps) < GAP_SECONDS[way]


@asynccontextmanager
async def _clients(
    way: str, targets: Sequence[str]
) -> AsyncIterator[tuple[Sequence[FlowStateClient], Balancer | None]]:
    async with AsyncExitStack() as stack:
        target: str | Sequence[str] = targets
        config, balancer = ClientConfig(), None
        if way == "round robin":
            config = ClientConfig(channel_options=(("grpc.lb_policy_name", "round_robin"),))
        if way == "balancer":
            balancer = await stack.enter_async_context(Balancer(targets))
            target = balancer.target
        clients = [
            await stack.enter_async_context(FlowStateClient.connect(target, user="u", config=config))
            for _ in range(CLIENTS)
        ]
        yield clients, balancer


async def _follow(client: FlowStateClient, number: int, tail: Tail) -> None:
    stream = (
        client.sessions.events(f"s{number}")
        if tail.of_session
        else client.flows.handle(f"r{number}").events()
    )
    async with stream as events:
        async for event in events:
            tail.events.append(event)
            tail.times.append(time.monotonic())
            if event.type == "request.completed":
                break


def _assert_whole(tails: Sequence[Tail]) -> None:
    for tail in tails:
        assert tail.ticks == list(range(TICKS))
        sequences = [event.cursor.sequence for event in tail.events]
        assert sequences == sorted(set(sequences))
        assert tail.events[-1].type == "request.completed"


def _assert_moved(leaving: ServerProcess, staying: ServerProcess, moved: int) -> None:
    outcomes = Counter(
        " ".join(line.split("EventService/TailEvents ")[1].split()[:2])
        for line in leaving.log.splitlines()
        if "EventService/TailEvents" in line
    )
    assert set(outcomes) == {"UNAVAILABLE SERVER_DRAINING"}, outcomes
    assert outcomes.total() >= moved
    for server in (leaving, staying):
        assert troubles(server.log) == []


def _p99(ordered: Sequence[float]) -> float:
    return ordered[len(ordered) * 99 // 100]
