"""Writers in processes of their own, against one server process or several of them on one store."""

from __future__ import annotations

import asyncio
from itertools import chain
from pathlib import Path

import pytest

from flowstate_client import FlowStateClient
from flowstate_server.testing.server_process import server_processes
from tests.support.contention import CONTENTIONS, contend
from tests.support.fleets import Fleet, clients_of
from tests.support.flows import APP
from tests.support.store_urls import ALL, SHARED, new_store_url
from tests.support.writer_process import KIND, USER, start_writer, versions_of

WRITERS = 4
EACH = 50


@pytest.mark.parametrize(
    ("kind", "servers"),
    [*((kind, 1) for kind in ALL), *((kind, count) for kind in SHARED for count in (2, 4))],
)
async def test_the_writes_of_four_client_processes_all_land(kind: str, servers: int, tmp_path: Path) -> None:
    async with (
        new_store_url(kind, tmp_path) as url,
        server_processes(servers, APP, store=url) as running,
        FlowStateClient.connect(running[-1].target, plane="trusted") as backend,
    ):
        session = await backend.sessions.create(KIND, user_id=USER)
        targets = [running[number % servers].target for number in range(WRITERS)]
        writers = await asyncio.gather(*(start_writer(target, session.id, EACH) for target in targets))
        told = await asyncio.gather(*(versions_of(writer) for writer in writers))

        record = await backend.state.session(session.id).get()
        assert record.state["count"] == WRITERS * EACH
        assert record.version == WRITERS * EACH
        assert sorted(chain.from_iterable(told)) == list(range(1, WRITERS * EACH + 1))


async def test_a_hundred_writers_of_each_kind_land_on_four_server_processes(shared_url: str) -> None:
    async with (
        server_processes(4, APP, store=shared_url) as running,
        clients_of([server.target for server in running]) as clients,
    ):
        for contention in CONTENTIONS:
            await contend(contention, Fleet(clients))
