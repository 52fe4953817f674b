"""Readiness follows the store."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import urlsplit

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from flowstate_client.testing import FaultProxy
from flowstate_server.engine import store_monitor
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.rpc.methods import SERVED_SERVICES
from flowstate_server.stores.memory import MemoryStore
from flowstate_server.stores.postgres import PostgresStore
from flowstate_server.testing.waiting import soon, until
from tests.support.hosted import Hosted, hosted, play
from tests.support.postgres_server import fresh_database
from tests.support.wire import read_one

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING


async def _rest(ctx: Any) -> None:
    return None


async def _statuses(server: Hosted) -> set[int]:
    health: Any = HealthStub(server.channel)
    names = ("", *SERVED_SERVICES)
    return {(await health.Check(HealthCheckRequest(service=name))).status for name in names}


async def _next_status(watch: Any) -> int:
    reply: HealthCheckResponse = await soon(read_one(watch))
    return reply.status


class Leaving:
    """A store that can be made to be away, or to answer nothing."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.raises: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        read = self.store.read_processes

        async def read_processes() -> Any:
            await self.answers.wait()
            if self.raises is not None:
                raise self.raises
            return await read()

        self.store.read_processes = read_processes  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_monitor, "INTERVAL", 0.05)
    monkeypatch.setattr(store_monitor, "PATIENCE", 0.1)


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_w5_health_follows_the_store(how: str, caplog: pytest.LogCaptureFixture) -> None:
    leaving = Leaving()
    async with hosted(play(_rest), store=leaving.store) as server:
        health: Any = HealthStub(server.channel)
        watch = health.Watch(HealthCheckRequest())
        assert await _next_status(watch) == SERVING
        for _ in range(2):
            caplog.clear()
            if how == "raises":
                leaving.raises = StoreUnavailableError()
            else:
                leaving.answers.clear()
            assert await _next_status(watch) == NOT_SERVING
            assert await _statuses(server) == {NOT_SERVING}
            await asyncio.sleep(0.5)  # many more reads that fail
            leaving.raises = None
            leaving.answers.set()
            assert await _next_status(watch) == SERVING
            assert await _statuses(server) == {SERVING}
            told = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
            assert [text.split(",")[0] for text in told] == [
                "the store does not answer",
                "the store answers again",
            ]


async def test_w5_what_is_wrong_in_the_store_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    leaving = Leaving()
    leaving.raises = ValueError("a row is damaged")
    async with hosted(play(_rest), store=leaving.store) as server:
        await asyncio.sleep(0.5)  # several reads
        assert await _statuses(server) == {SERVING}


async def test_w5_a_server_that_goes_down_stays_not_serving() -> None:
    leaving = Leaving()
    async with hosted(play(_rest), store=leaving.store) as server:
        leaving.raises = StoreUnavailableError()
        await until(lambda: not server.engine.store_monitor.available)
        health: Any = HealthStub(server.channel)
        stopping = asyncio.create_task(server.server.stop(drain_delay=1.0, drain_grace=0.0))
        leaving.raises = None
        await until(lambda: server.engine.store_monitor.available)
        assert (await health.Check(HealthCheckRequest())).status == NOT_SERVING
        await stopping


async def test_w5_postgres_that_is_away_for_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async with fresh_database() as dsn, FaultProxy(f"127.0.0.1:{urlsplit(dsn).port}") as proxy:
        store = PostgresStore(urlsplit(dsn)._replace(netloc=f"postgres@{proxy.target}").geturl())
        async with hosted(play(_rest), store=store) as server:
            health: Any = HealthStub(server.channel)
            watch = health.Watch(HealthCheckRequest())
            assert await _next_status(watch) == SERVING
            with caplog.at_level(logging.INFO):
                await proxy.refuse()
                assert await _next_status(watch) == NOT_SERVING
                await asyncio.sleep(2.0)  # what is tried again meanwhile says nothing new
                await proxy.accept()
                assert await _next_status(watch) == SERVING
            await server.run("r1")
    told = [r.getMessage() for r in caplog.records if r.name.startswith("flowstate_server")]
    assert len(told) == len(set(told)), told
    assert sum("the store" in text for text in told) == 2, told
