"""What the other tests here look for in a database is found if it is there."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from flowstate_server.testing.server import running_server
from tests.support.fault_flows import faults
from tests.support.whole_database import BROKEN, assert_whole, opened

DAMAGE = {
    "sessions without head": "DELETE FROM session_heads",
    "requests without head": "DELETE FROM request_heads",
    "heads without request or session": "DELETE FROM requests",
    "request logs that are not 1..n": "DELETE FROM events WHERE sequence = 4",
    "session logs that are not 1..n": "UPDATE session_heads SET sequence = sequence + 1",
    "events of a request in another order in its session": "UPDATE events SET sequence = CASE sequence"
    " WHEN 4 THEN 5 ELSE 4 END WHERE sequence IN (4, 5)",
    "ends without their event, or the other way round": "UPDATE request_heads SET status = 0, open = 1",
    "statuses whose open bit is wrong": "UPDATE request_heads SET open = 1",
    "item.done without item": "DELETE FROM items",
    "items without item.done": "UPDATE items SET request = NULL",
    "completed without output": "DELETE FROM outcomes",
    "outcomes ahead of the end": "UPDATE request_heads SET status = 0, open = 1",
    "turns that are not 1..n": "UPDATE session_heads SET turns = 7",
    "completed without turn": "DELETE FROM turns",
    "states of ended requests": "UPDATE states SET kind = 1, id = (SELECT request_id FROM requests)",
    "session states with more or fewer versions than changes": "UPDATE states SET version = 9",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one completed request."""
    path = tmp_path_factory.mktemp("written") / "flowstate.db"
    asyncio.run(_write(path))
    return path


async def _write(path: Path) -> None:
    async with (
        running_server(faults, store=f"sqlite:///{path}") as server,
        server.connect(user="u") as client,
    ):
        await client.flows.call("faults", "work", {"number": 1, "steps": 2})


def test_a_whole_database_is_whole(written: Path) -> None:
    with opened(written) as database:
        assert_whole(database)


@pytest.mark.parametrize("what", BROKEN)
def test_damage_is_found(written: Path, path: Path, what: str) -> None:
    shutil.copyfile(written, path)
    with opened(path) as database:
        assert not database.execute(BROKEN[what]).fetchall()
        database.execute("DROP INDEX events_by_request")
        database.execute(DAMAGE[what])
        assert database.execute(BROKEN[what]).fetchall()
        with pytest.raises(AssertionError):
            assert_whole(database)
