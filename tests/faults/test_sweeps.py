"""What expires goes by itself in a running server."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from flowstate_client import FlowStateClient, RequestStatus, Trimmed
from flowstate_client.testing import record_events
from flowstate_server.testing.server_process import server_process
from flowstate_server.testing.waiting import soon, until
from tests.support.fault_flows import KIND, Job
from tests.support.ports import lasting_port
from tests.support.whole_database import opened

APP = "tests.support.fault_flows:app"
DAY = 86_400.0
TRANSIENT = "SELECT count(*) FROM events WHERE transient = 1"
DURABLE = "SELECT count(*) FROM events WHERE transient = 0"
# What servers tell each other of their flows lasts for days.
KEYS = "SELECT count(*) FROM documents WHERE expire_time BETWEEN 1 AND update_time + 2 * 86400000000"
PROCESSES = "SELECT process, fenced FROM processes"


def rows(database: sqlite3.Connection, query: str) -> list[tuple[Any, ...]]:
    return database.execute(query).fetchall()


async def test_transient_events_go_after_their_request_has_ended(path: Path) -> None:
    async with (
        server_process(APP, store=f"sqlite:///{path}", lease=0.6, transient_retention=0.1) as server,
        FlowStateClient.connect(server.target, plane="trusted", user="u") as client,
    ):
        going = await client.flows.dispatch(KIND, "work", Job(number=1, steps=1000, pause=0.05))
        ended = await client.flows.dispatch(KIND, "work", Job(number=2, steps=20))
        assert await ended.result(int, timeout=20.0) == 2
        with opened(path) as database:
            of = "(SELECT request FROM requests WHERE request_id = '{}')"
            swept = f"{TRANSIENT} AND request = {of.format(ended.request_id)}"
            await until(lambda: rows(database, swept) == [(0,)])
            kept = f"{TRANSIENT} AND request = {of.format(going.request_id)}"
            assert rows(database, kept) > [(0,)]

            events = await soon(record_events(ended))
            assert any(isinstance(event, Trimmed) for event in events)
            told = [event for event in events if not isinstance(event, Trimmed)]
            assert not any(event.transient for event in told)
            assert [event.type for event in told].count("custom") == 20
            assert [event.type for event in told].count("item.done") == 2
            assert told[-1].type == "request.completed"

            await going.cancel()
            await until(lambda: rows(database, TRANSIENT) == [(0,)])
            assert rows(database, DURABLE) > [(len(told),)]


async def test_idempotency_keys_go_when_they_expire(path: Path) -> None:
    async with (
        server_process(APP, store=f"sqlite:///{path}", lease=0.6, idempotency_window=0.5) as server,
        FlowStateClient.connect(server.target, plane="trusted", user="u") as client,
    ):
        for number in range(20):
            await client.sessions.create(KIND, session_id=f"s{number}")
            await client.state.session(f"s{number}").inc_state(count=1)
        with opened(path) as database:
            await until(lambda: rows(database, KEYS) == [(0,)])
        assert (await client.state.session("s0").get()).version == 1


async def test_dead_processes_go_when_their_requests_have_ended(path: Path) -> None:
    listen = f"127.0.0.1:{lasting_port()}"
    async with (
        server_process(APP, store=f"sqlite:///{path}", listen=listen, lease=0.6) as server,
        FlowStateClient.connect(server.target, user="u") as client,
    ):
        for _ in range(2):
            run = await client.flows.dispatch(KIND, "nap", {"seconds": 600.0})
            server.kill()
            await server.start()
            process = (await client.server.info(refresh=True)).instance_id
            with opened(path) as database:
                await until(lambda: rows(database, PROCESSES) == [(process, 0)])  # noqa: B023
            assert (await run.get()).status is RequestStatus.INTERRUPTED


async def test_nothing_goes_before_its_time(path: Path) -> None:
    """The defaults keep all this for minutes; sweeps that come often make no difference."""
    async with (
        server_process(APP, store=f"sqlite:///{path}", lease=0.3) as server,
        FlowStateClient.connect(server.target, plane="trusted", user="u") as client,
    ):
        await client.flows.call(KIND, "work", Job(number=1, steps=5), session_id="s")
        await client.state.session("s").inc_state(count=1)
        process = (await client.server.info()).instance_id
        with opened(path) as database:
            renewed = "SELECT renew_time FROM processes"
            before = [rows(database, query) for query in (TRANSIENT, DURABLE, KEYS)]
            assert min(before) > [(0,)]
            first = rows(database, renewed)
            for _ in range(10):
                await until(lambda: rows(database, renewed) != first)  # noqa: B023
                first = rows(database, renewed)
            assert [rows(database, query) for query in (TRANSIENT, DURABLE, KEYS)] == before
            assert rows(database, PROCESSES) == [(process, 0)]
