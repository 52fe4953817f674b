"""Fleets under load while their servers, and what they stand on, are broken in turn."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from flowstate_client import FlowStateClient, RequestStatus, Unavailable
from flowstate_client.testing import FaultProxy
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.testing.history import History, Recorder, require_history
from flowstate_server.testing.recorded_client import RecordedStates
from flowstate_server.testing.server_process import ServerProcess, server_processes
from flowstate_server.testing.waiting import until
from tests.support import fault_flows
from tests.support.as_sqlite import as_sqlite
from tests.support.full_disk import CAN_FAIL_WRITES, fail_writes, let_write
from tests.support.kill_load import CONFIG, Load, load_on
from tests.support.ports import lasting_port
from tests.support.postgres_server import PostgresServer, execute
from tests.support.whole_database import assert_whole, unfinished

APP = "tests.support.fault_flows:app"
SETTINGS = {"lease": 3.0, "transient_retention": 86_400, "log_level": "warning"}
SERVERS = 3
RECOVERY_SECONDS = 5.0
CHECKED = ("checked 0", "checked 1", "checked 2")
ENDS = {RequestStatus.COMPLETED, RequestStatus.INTERRUPTED}
LISTENERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'"
DURATIONS = [12.0, pytest.param(600.0, marks=pytest.mark.soak)]

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
        faults = [_killing(servers, chance), _filling(servers, chance)]
        load = await _broken_in_turn(servers, faults, seconds, chance)
        await _stop(servers)
    await _assert_kept(url, load, tmp_path)


@pytest.mark.parametrize("seconds", DURATIONS)
async def test_a_server_on_files(seconds: float, tmp_path: Path) -> None:
    chance = random.Random(seconds)
    folder = tmp_path / "flowstate"
    url = f"file://{folder}"
    listen = f"127.0.0.1:{lasting_port()}"
    async with server_processes(1, APP, store=url, listen=listen, **SETTINGS) as servers:
        faults = [_killing(servers, chance), _filling(servers, chance), _tearing(servers, folder)]
        load = await _broken_in_turn(servers, faults, seconds, chance)
        await _stop(servers)
    await _assert_kept(url, load, tmp_path)


def _killing(servers: Sequence[ServerProcess], chance: random.Random) -> Fault:
    async def kill() -> None:
        server = chance.choice(servers)
        server.kill()
        await asyncio.sleep(chance.uniform(0, 0.3))  # others may notice, or not
        await server.start()

    return kill


def _filling(servers: Sequence[ServerProcess], chance: random.Random) -> Fault:
    """The disk is full for a while."""

    async def fill() -> None:
        if not CAN_FAIL_WRITES:
            return
        for server in servers:
            fail_writes(server)
        await asyncio.sleep(chance.uniform(0.2, 1.0))  # for longer than a client's first repeats
        for server in servers:
            let_write(server)

    return fill


def _tearing(servers: Sequence[ServerProcess], folder: Path) -> Fault:
    """The process ends in the middle of writing a line to the journal, as far as the next one can tell."""

    def tear() -> None:
        journal = folder / "journal.jsonl"
        line = journal.read_bytes().splitlines(keepends=True)[-1:] or [b'{"half":"']
        with journal.open("ab") as file:
            file.write(line[0][: len(line[0]) // 2])

    async def kill_and_tear() -> None:
        for server in servers:
            server.kill()
            await asyncio.to_thread(tear)
            await server.start()

    return kill_and_tear


async def _broken_in_turn(
    servers: Sequence[ServerProcess], faults: Sequence[Fault], seconds: float, chance: random.Random
) -> Load:
    """Every call is answered in the end, soon after each fault calls are answered again, and what some callers were
    told of the same records is what one after another could have been told."""
    target = "ipv4:" + ",".join(server.target for server in servers)
    async with load_on(target, chance) as load, _one_history(target, chance):
        end = time.monotonic() + seconds
        for fault in cycle(faults):
            await load.busy()
            await asyncio.sleep(chance.uniform(0, 0.3))  # so that it comes at any moment of the load
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


@asynccontextmanager
async def _one_history(target: str, chance: random.Random) -> AsyncIterator[None]:
    recorders = [Recorder(f"client {number}") for number in range(3)]
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for recorder in recorders:
            group.create_task(_record(target, recorder, chance, over))
        yield
        await until(
            lambda: sum(len(recorder.history.answered) for recorder in recorders) > 100, what="enough calls"
        )
        over.set()
    history = History.merged([recorder.history for recorder in recorders])
    require_history(history, lambda key: fault_flows.faults.schemas[ScopeKind.USER])


async def _record(target: str, recorder: Recorder, chance: random.Random, over: asyncio.Event) -> None:
    async with FlowStateClient.connect(target, plane="trusted", config=CONFIG) as client:
        states = RecordedStates(client, recorder)
        while not over.is_set():
            one, other = chance.sample(CHECKED, 2)
            match chance.randrange(4):
                case 0:
                    with suppress(Unavailable):  # reads are repeated a few times only
                        await states.read(
                            *(states.user(user, flow_kind=fault_flows.KIND) for user in CHECKED)
                        )
                case 1:
                    async with states.batch() as batch:
                        batch.user(one, flow_kind=fault_flows.KIND).inc_state(count=1)
                        batch.user(other, flow_kind=fault_flows.KIND).inc_state(count=2)
                case _:
                    await states.user(one, flow_kind=fault_flows.KIND).inc_state(count=1)
            await asyncio.sleep(chance.uniform(0, 0.05))  # leaves room for the load, which is what is broken


async def _stop(servers: Sequence[ServerProcess]) -> None:
    await asyncio.gather(*(server.terminate() for server in servers))


async def _assert_kept(url: str, load: Load, folder: Path) -> None:
    async with as_sqlite(url, folder) as database:
        assert_whole(database)
        load.assert_finished(database)
        assert not unfinished(database)
    assert RequestStatus.COMPLETED in load.statuses <= ENDS
