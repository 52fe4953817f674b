"""SIGTERM under load: what ends, what is cut off, and where everybody goes."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc import aio

from flowstate.v1.flow_service_pb2 import ActionSpec, DispatchActionRequest
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub
from flowstate_client import CustomEvent, Event, FlowStateClient, RunHandle
from flowstate_client.testing import record_events
from flowstate_server.errors import Reason
from flowstate_server.testing.server_process import ServerProcess, server_process, server_processes
from flowstate_server.testing.waiting import soon, until
from tests.support.fault_flows import KIND
from tests.support.whole_database import INTERRUPTED, assert_whole, opened, statuses_of, unfinished
from tests.support.wire import read_refusal

APP = "tests.support.fault_flows:app"
GRACE = 4.0
FOR_EVER = 600.0


@dataclass
class Pair:
    """Two servers on one store. ``client`` knows both: it goes to the second once the first goes."""

    leaving: ServerProcess
    staying: ServerProcess
    client: FlowStateClient


@asynccontextmanager
async def pair(path: Path, grace: float = GRACE) -> AsyncIterator[Pair]:
    settings = {"store": f"sqlite:///{path}", "cancel_grace": 0.5, "drain_grace": grace, "log_level": "debug"}
    async with server_processes(2, APP, **settings) as (leaving, staying):
        target = f"ipv4:{leaving.target},{staying.target}"
        async with FlowStateClient.connect(target, user="u") as client:
            yield Pair(leaving, staying, client)


async def begun(client: FlowStateClient, action: str, value: object) -> RunHandle:
    """A run whose block has begun to wait."""
    run = await client.flows.dispatch(KIND, action, value, session_id="s")
    async with run.events() as events:
        async for event in events:
            if isinstance(event, CustomEvent):
                break
    return run


async def naps(client: FlowStateClient, count: int, seconds: float) -> list[RunHandle]:
    return [await begun(client, "nap", {"seconds": seconds}) for _ in range(count)]


def followed(runs: Sequence[RunHandle], tails: int) -> list[asyncio.Task[list[Event]]]:
    """So many tails of each run."""
    return [asyncio.create_task(record_events(run)) for run in runs for _ in range(tails)]


async def test_a_drain_under_load(path: Path) -> None:
    async with pair(path) as servers:
        client, leaving = servers.client, servers.leaving
        long = await naps(client, 3, FOR_EVER)
        short = await naps(client, 5, 1.0)
        calls = [asyncio.create_task(client.flows.call(KIND, "nap", {"seconds": 1.0})) for _ in range(5)]
        long_tails, short_tails = followed(long, 10), followed(short, 3)
        await until(lambda: "DispatchAction" in leaving.log)
        async with aio.insecure_channel(leaving.target) as channel:
            await channel.channel_ready()
            stopping = asyncio.create_task(leaving.terminate())
            assert await _refusals(FlowServiceStub(channel)) == {Reason.SERVER_DRAINING}
        assert await soon(stopping) == 0

        assert await soon(asyncio.gather(*calls)) == ["rested"] * 5
        _assert_seen(await soon(asyncio.gather(*short_tails)), "request.completed")
        _assert_seen(await soon(asyncio.gather(*long_tails)), "request.interrupted")
        # Every tail of a long run was told to go, and went on elsewhere.
        assert leaving.log.count("EventService/TailEvents UNAVAILABLE SERVER_DRAINING") >= len(long_tails)
        assert servers.staying.log.count("EventService/TailEvents OK") >= len(long_tails)
        for trouble in ("Traceback", "ERROR", "WARNING"):
            assert trouble not in leaving.log
        with opened(path) as database:
            assert_whole(database)
            assert not unfinished(database)


async def test_streams_and_runs_go_to_another_server_as_soon_as_theirs_drains(path: Path) -> None:
    async with (
        pair(path, FOR_EVER) as servers,
        FlowStateClient.connect(servers.staying.target, plane="trusted") as backend,
    ):
        client, leaving = servers.client, servers.leaving
        # Keeps the server, which listens all the time.
        under_way = await begun(client, "nap", {"seconds": FOR_EVER})
        followed_run = asyncio.create_task(record_events(under_way))
        async with (
            client.sessions.watch("s") as views,
            client.sessions.events("s", types="request.created") as starts,
        ):
            assert (await soon(anext(views))).client_data["user"] == {"count": 0}
            assert (await soon(anext(starts))).request_id == under_way.request_id
            stopping = asyncio.create_task(leaving.terminate())
            assert await leaving.told("stopping")
            await until(lambda: "EventService/TailEvents UNAVAILABLE SERVER_DRAINING" in leaving.log)
            await until(lambda: "SessionService/WatchSnapshot UNAVAILABLE SERVER_DRAINING" in leaving.log)
            assert await soon(client.flows.call(KIND, "nap", {}, session_id="s")) == "rested"
            assert (await soon(anext(starts))).request_id != under_way.request_id
            await backend.state.user("u", flow_kind=KIND).inc_state(count=1)
            assert (await soon(anext(views))).client_data["user"] == {"count": 1}
            assert not stopping.done(), "all of it while the first server was still there"
            await under_way.cancel()
            assert await soon(stopping) == 0
        assert (await soon(followed_run))[-1].type == "request.aborted"
        for method in ("SessionService/WatchSnapshot", "FlowService/CallAction", "EventService/TailEvents"):
            assert leaving.log.count(f"{method} UNAVAILABLE SERVER_DRAINING") == 1, method


async def _refusals(flows: FlowServiceStub) -> set[Reason]:
    """What dispatches are told until there is nobody who answers."""
    request = DispatchActionRequest(spec=ActionSpec(flow_kind=KIND, action="nap", user_id="u"))
    request.spec.input.json = "{}"
    reasons: set[Reason] = set()
    while True:
        try:
            await flows.DispatchAction(request, timeout=10.0)
        except aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE and "connect" in (error.details() or ""):
                return reasons
            # What reaches a server that is just leaving gRPC itself cancels.
            if error.code() is not grpc.StatusCode.CANCELLED:
                reasons.add(read_refusal(error).reason)
        await asyncio.sleep(0.02)  # each that comes early enough leaves a run behind


def _assert_seen(tails: Sequence[Sequence[Event]], last: str) -> None:
    """Each tail has seen its run's log once, to the end."""
    for events in tails:
        sequences = [event.sequence for event in events]
        assert sequences == sorted(set(sequences))
        assert [event.type for event in events].count(last) == 1
        assert events[-1].type == last


@pytest.mark.parametrize("action", ["cling", "cling_in_thread"])
async def test_a_block_that_ignores_everything_keeps_no_server_from_its_end(path: Path, action: str) -> None:
    settings = {"store": f"sqlite:///{path}", "cancel_grace": 0.3, "drain_grace": 0.5}
    async with (
        server_process(APP, **settings) as server,
        FlowStateClient.connect(server.target, user="u") as client,
    ):
        run = await begun(client, action, {"path": str(path.parent / "witness")})
        assert await soon(server.terminate(), 10.0) == 0
        with opened(path) as database:
            assert_whole(database)
            assert statuses_of(database, [run.request_id]) == [INTERRUPTED]


async def test_a_second_signal_stops_hard_and_the_next_server_tells_what_became_of_the_runs(
    path: Path,
) -> None:
    settings = {"store": f"sqlite:///{path}", "lease": 2.0, "drain_grace": FOR_EVER, "cancel_grace": FOR_EVER}
    async with (
        server_process(APP, **settings) as server,
        FlowStateClient.connect(server.target, user="u") as client,
    ):
        runs = [await begun(client, "cling", {"path": str(path.parent / "witness")})]
        runs += await naps(client, 2, FOR_EVER)
        tails = followed(runs, 1)
        server.process.send_signal(signal.SIGTERM)
        assert await server.told("stopping")
        began = time.monotonic()
        assert await soon(server.terminate()) == 1
        assert time.monotonic() - began < 10.0
        await server.start()
        _assert_seen(await soon(asyncio.gather(*tails), 30.0), "request.interrupted")
        with opened(path) as database:
            assert_whole(database)
