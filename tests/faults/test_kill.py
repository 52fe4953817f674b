"""``kill -9`` of the server under load, again and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from flowstate_client import RequestStatus
from flowstate_server.testing.server_process import server_process
from flowstate_server.testing.waiting import until
from tests.support.kill_load import load_on
from tests.support.ports import lasting_port
from tests.support.whole_database import (
    INTERRUPTED,
    assert_whole,
    copy_database,
    opened,
    statuses_of,
    unfinished,
)

APP = "tests.support.fault_flows:app"
LEASE = 2.0
FEW = 10


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.soak)])
async def test_killed_under_load_it_keeps_what_it_acknowledged(path: Path, kills: int) -> None:
    chance = random.Random(kills)
    where = {"store": f"sqlite:///{path}", "listen": f"127.0.0.1:{lasting_port()}"}
    settings = {"lease": LEASE, "transient_retention": 86_400, "log_level": "warning"}
    async with server_process(APP, **where, **settings) as server:
        async with load_on(server.target, chance) as load:
            for kill in range(kills):
                await load.busy()
                await asyncio.sleep(chance.uniform(0, 0.5))  # to be killed anywhere in the load
                server.kill()
                with opened(copy_database(path, path.parent / "left")) as left:
                    assert_whole(left)
                    load.assert_kept(left)
                    orphans = unfinished(left)
                await server.start()
                # In the soak every other kill may come ahead of the sweep, or amid it.
                if kills <= FEW or kill % 2:
                    await _end_interrupted(path, orphans)
        with opened(path) as database:
            assert_whole(database)
            load.assert_finished(database)
            assert load.statuses == {RequestStatus.COMPLETED, RequestStatus.INTERRUPTED}
            assert not unfinished(database)
        for trouble in ("Traceback", "ERROR", "abandoned", "elsewhere"):
            assert trouble not in server.log


async def _end_interrupted(path: Path, orphans: Sequence[str]) -> None:
    """Within two leases of now, when a server is up again."""
    with opened(path) as database:
        left = set(orphans)
        await until(lambda: left.isdisjoint(unfinished(database)), 2 * LEASE, every=0.05, what="sweep")
        assert set(statuses_of(database, orphans)) <= {INTERRUPTED}
