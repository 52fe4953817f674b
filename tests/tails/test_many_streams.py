"""Thousands of streams, idle or dropped in every way: the server stays as it was, and so do calls beside them."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.event_service_pb2_grpc import EventServiceStub
from flowstate.v1.session_service_pb2 import WatchSnapshotRequest
from flowstate.v1.session_service_pb2_grpc import SessionServiceStub
from flowstate_client import FlowStateClient, RunHandle
from flowstate_client.testing import FaultProxy
from flowstate_server.testing.server_process import ServerProcess, server_process
from flowstate_server.testing.waiting import soon, until
from tests.support.inside import Inside, look_inside
from tests.support.server_logs import troubles
from tests.support.ticking_flow import KIND

APP = "tests.support.ticking_flow:app"
USERS = 3
IDLE_TAILS = 3_000
IDLE_SECONDS = 180.0
ALONE_SECONDS = 20.0
AT_ONCE = 100
ROUNDS = 20
"""Of each way to drop streams, ``AT_ONCE`` at a time."""
GROWTH = 1.1
SLOWEST_SECONDS = 5.0
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)

_log = logging.getLogger(__name__)


@pytest.mark.soak
async def test_3000_idle_tails_and_calls_beside_them(tmp_path: Path) -> None:
    async with (
        _served(tmp_path) as (server, client),
        AsyncExitStack() as stack,
    ):
        alone = await _times_of_calls(client, ALONE_SECONDS)
        users = [
            await stack.enter_async_context(FlowStateClient.connect(server.target, user=f"u{number}"))
            for number in range(USERS)
        ]
        runs = [
            await user.flows.dispatch(KIND, "tick", {"count": 1, "stay": True}, session_id=f"s{number}")
            for number, user in enumerate(users)
        ]
        seen: list[list[str]] = [[] for _ in range(IDLE_TAILS)]
        following = [
            asyncio.create_task(_follow(runs[number % USERS], types)) for number, types in enumerate(seen)
        ]
        await until(lambda: all("custom" in types for types in seen), 120.0, every=0.2)
        assert (await look_inside(client)).streams == IDLE_TAILS
        sizes, beside = [(await look_inside(client)).memory], list[float]()
        for _ in range(6):
            beside += await _times_of_calls(client, IDLE_SECONDS / 6)
            sizes.append((await look_inside(client)).memory)
        assert (await look_inside(client)).streams == IDLE_TAILS
        assert "TailEvents" not in server.log, "one has ended"
        for run in runs:
            await run.cancel()
        await soon(asyncio.gather(*following), 60.0)
        _assert_whole(seen)
        await until(lambda: _has_no_stream(client), 60.0, what="the end of all streams")
        assert "TailEvents" not in server.log, "one ended otherwise than well"
        assert troubles(server.log) == []
    _log.info("MiB of the server: %s", [size >> 20 for size in sizes])
    for name, quantile in (("half", 0.5), ("99 %", 0.99)):
        before, after = _quantile(alone, quantile), _quantile(beside, quantile)
        _log.info(
            "%s of the calls within %.1f ms, alone %.1f: %.2f times", name, after, before, after / before
        )
    assert max(beside) < SLOWEST_SECONDS * 1_000
    assert sizes[-1] <= GROWTH * sizes[1], sizes


@pytest.mark.soak
async def test_10000_streams_dropped_in_every_way(tmp_path: Path) -> None:
    async with _served(tmp_path) as (server, client):
        run = await client.flows.dispatch(KIND, "tick", {"count": 1, "stay": True}, session_id="quiet")
        value = {"count": 200, "filling": 20_000, "stay": True}
        loud = await client.flows.dispatch(KIND, "tick", value, session_id="loud")
        async with loud.events() as events:
            await until(lambda: _is_number(events, 199))
        dropping = Dropping(server, client, run, loud)
        for way in dropping.ways:
            await way()
        before = await look_inside(client)
        for _ in range(ROUNDS):
            for way in dropping.ways:
                await way()
        await until(lambda: _is_within(client, before), what="the end of all streams")
        after = await look_inside(client)
        _log.info("in the server: %s, before: %s", after, before)
        outcomes = Counter(re.findall(r"/(?:TailEvents|WatchSnapshot) ([A-Z_ ]+?) [\d.]+ ms", server.log))
        _log.info("what they ended with: %s", dict(outcomes))
        dropped = ROUNDS * AT_ONCE * len(dropping.ways)
        assert outcomes.total() >= dropped
        assert set(outcomes) == {"CANCELLED"}
        assert after.blocks - before.blocks < dropped / 2, (
            "an object is left of every stream, or of each second one"
        )
        assert after.memory <= GROWTH * before.memory
        assert troubles(server.log) == []


@dataclass
class Dropping:
    """Ways to drop ``AT_ONCE`` streams at a time; each waits until they are open, and then until none is."""

    server: ServerProcess
    client: FlowStateClient
    quiet: RunHandle
    loud: RunHandle

    @property
    def ways(self) -> Sequence[Callable[[], Awaitable[None]]]:
        return (self.leave_loops, self.cancel_readers, self.cut, self.kill_process, self.never_read)

    async def leave_loops(self) -> None:
        all_open = asyncio.Barrier(AT_ONCE)

        async def read_some() -> None:
            async for _ in self.quiet.events():
                await all_open.wait()
                break

        async def watch_some() -> None:
            async for _ in self.client.sessions.watch("quiet"):
                await all_open.wait()
                break

        await asyncio.gather(*(watch_some() if n % 2 else read_some() for n in range(AT_ONCE)))
        await self._none_is_open()

    async def cancel_readers(self) -> None:
        async def read() -> None:
            async for _ in self.quiet.events():
                pass

        async def watch() -> None:
            async for _ in self.client.sessions.watch("quiet"):
                pass

        readers = [asyncio.create_task(watch() if n % 2 else read()) for n in range(AT_ONCE)]
        await self._all_are_open()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        await self._none_is_open()

    async def cut(self) -> None:
        async with FaultProxy(self.server.target) as proxy, _channel(proxy.target) as channel:
            streams = _open(channel, self.quiet.request_id, "quiet")
            await asyncio.gather(*(stream.read() for stream in streams))
            proxy.cut()
            for stream in streams:
                with suppress(aio.AioRpcError):
                    while await stream.read() is not aio.EOF:
                        pass
                assert (await stream.code()).name == "UNAVAILABLE"
        await self._none_is_open()

    async def kill_process(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.leaving_process"),
            *(self.server.target, self.quiet.request_id, str(AT_ONCE)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert await soon(process.stdout.readline(), 60.0)
        process.kill()
        await process.wait()
        await self._none_is_open()

    async def never_read(self) -> None:
        """Far more than there is room for on the way: the server stands amid a write."""
        async with _channel(self.server.target) as channel:
            streams = _open(channel, self.loud.request_id, "loud")
            await self._all_are_open()
            for stream in streams[::2]:
                stream.cancel()
        await self._none_is_open()

    async def _all_are_open(self) -> None:
        await until(lambda: self._open_are(AT_ONCE), what="all streams")

    async def _none_is_open(self) -> None:
        await until(lambda: self._open_are(0), what="the end of all streams")

    async def _open_are(self, streams: int) -> bool:
        return (await look_inside(self.client)).streams == streams


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[tuple[ServerProcess, FlowStateClient]]:
    """A server that logs each stream that does not end well, and a client of it."""
    async with (
        server_process(APP, store=f"sqlite:///{folder / 'flowstate.db'}", log_level="info") as server,
        FlowStateClient.connect(server.target, user="u") as client,
    ):
        yield server, client


def _channel(target: str) -> aio.Channel:
    return aio.insecure_channel(target, options=OWN_CONNECTION)


def _open(channel: aio.Channel, request_id: str, session_id: str) -> list[Any]:
    events, sessions = EventServiceStub(channel), SessionServiceStub(channel)
    metadata = (("x-flowstate-user", "u"),)
    return [
        sessions.WatchSnapshot(WatchSnapshotRequest(session_id=session_id), metadata=metadata)
        if number % 2
        else events.TailEvents(TailEventsRequest(request_id=request_id), metadata=metadata)
        for number in range(AT_ONCE)
    ]


async def _times_of_calls(client: FlowStateClient, seconds: float) -> list[float]:
    """Milliseconds of calls one after another: one that reads, one that runs a block."""
    times, end = list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        await client.flows.call(KIND, "tick", {"count": 1}, session_id="beside")
        await client.sessions.snapshot("beside")
        times.append((time.monotonic() - began) * 1_000)
        await asyncio.sleep(0.05)
    return times


async def _follow(run: RunHandle, seen: list[str]) -> None:
    async for event in run.events():
        seen.append(event.type)  # noqa: PERF401 - others look at it meanwhile


def _assert_whole(seen: Sequence[list[str]]) -> None:
    """Each has seen all of its run, of which one is like another."""
    assert seen[0][-1] == "request.aborted"
    assert seen[0].count("custom") == 1
    assert all(one == seen[0] for one in seen)


async def _is_number(events: Any, number: int) -> bool:
    return bool(getattr(await anext(events), "data", {}).get("number") == number)


async def _has_no_stream(client: FlowStateClient) -> bool:
    return (await look_inside(client)).streams == 0


async def _is_within(client: FlowStateClient, before: Inside) -> bool:
    return (await look_inside(client)).within(before)


def _quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]
