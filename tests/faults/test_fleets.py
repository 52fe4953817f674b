"""Fleets under load while their servers, and what they stand on, are broken in turn."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from flowstate_client import RequestStatus
from flowstate_client.testing import FaultProxy
from tests.support.as_sqlite import as_sqlite
from tests.support.kill_load import Load, load_on
from tests.support.ports import lasting_port
from tests.support.postgres_server import PostgresServer, execute
from tests.support.server_process import ServerProcess, server_processes
from tests.support.waiting import until
from tests.support.whole_database import assert_whole, unfinished

APP = "tests.support.fault_flows:app"
SETTINGS = {"lease": 3.0, "transient_retention": 86_400, "log_level": "warning"}
SERVERS = 3
RECOVERY_SECONDS = 5.0
ENDS = {RequestStatus.COMPLETED, RequestStatus.INTERRUPTED, RequestStatus.FAILED}
LISTENERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'"
DURATIONS = [20.0, pytest.param(600.0, marks=pytest.mark.soak)]

Fault = Callable[[], Awaitable[None]]


@pytest.mark.parametrize("seconds", DURATIONS)
async def test_a_fleet_on_postgres(seconds: float, tmp_path: Path) -> None:
    chance = random.Random(seconds)
    with PostgresServer.run(durable=True) as postgres:
        dsn = await postgres.create_database()
        async with FaultProxy(f"127.0.0.1:{postgres.port}") as proxy:
            url = urlunsplit(urlsplit(dsn)._replace(netloc=f"postgres@127.0.0.1:{proxy.port}"))
            async with server_processes(SERVERS, APP, store=url, **SETTINGS) as servers:

                async def cut() -> None:
                    proxy.cut()

                async def lose_listeners() -> None:
                    await execute(dsn, LISTENERS)

                async def restart() -> None:
                    await asyncio.to_thread(postgres.restart, immediate=True)

                faults = [_killing(servers, chance), cut, lose_listeners, restart]
                load = await _broken_in_turn(servers, faults, seconds, chance)
                await _stop(servers)
        await _assert_kept(dsn, load, tmp_path)


@pytest.mark.parametrize("seconds", DURATIONS)
async def test_a_fleet_on_sqlite(seconds: float, tmp_path: Path) -> None:
    chance = random.Random(seconds)
    url = f"sqlite:///{tmp_path / 'flowstate.db'}"
    async with server_processes(SERVERS, APP, store=url, **SETTINGS) as servers:
        load = await _broken_in_turn(servers, [_killing(servers, chance)], seconds, chance)
        await _stop(servers)
    await _assert_kept(url, load, tmp_path)


@pytest.mark.parametrize("seconds", DURATIONS)
async def test_a_server_on_files(seconds: float, tmp_path: Path) -> None:
    chance = random.Random(seconds)
    url = f"file://{tmp_path / 'flowstate'}"
    listen = f"127.0.0.1:{lasting_port()}"
    async with server_processes(1, APP, store=url, listen=listen, **SETTINGS) as servers:
        load = await _broken_in_turn(servers, [_killing(servers, chance)], seconds, chance)
        await _stop(servers)
    await _assert_kept(url, load, tmp_path)


def _killing(servers: Sequence[ServerProcess], chance: random.Random) -> Fault:
    async def kill() -> None:
        server = chance.choice(servers)
        server.kill()
        await asyncio.sleep(chance.uniform(0, 0.3))
        await server.start()

    return kill


async def _broken_in_turn(
    servers: Sequence[ServerProcess], faults: Sequence[Fault], seconds: float, chance: random.Random
) -> Load:
    """Every call is answered in the end, and soon after each fault calls are answered again."""
    target = "ipv4:" + ",".join(server.target for server in servers)
    async with load_on(target, chance) as load:
        end = time.monotonic() + seconds
        for fault in cycle(faults):
            await load.busy()
            await asyncio.sleep(chance.uniform(0, 0.3))
            await fault()
            answered = len(load.shared_versions)
            await until(
                lambda answered=answered: len(load.shared_versions) > answered + 1,  # type: ignore[misc]
                RECOVERY_SECONDS,
                what="recovery",
            )
            if time.monotonic() > end:
                break
    return load


async def _stop(servers: Sequence[ServerProcess]) -> None:
    await asyncio.gather(*(server.terminate() for server in servers))


async def _assert_kept(url: str, load: Load, folder: Path) -> None:
    async with as_sqlite(url, folder) as database:
        assert_whole(database)
        load.assert_finished(database)
        assert not unfinished(database)
    assert RequestStatus.COMPLETED in load.statuses <= ENDS
