"""What importing a part of FlowState loads, seen from outside."""

from __future__ import annotations

import subprocess
import sys

import pytest

TRANSPORT = ("grpc", "google.protobuf", "flowstate.v1")
DRIVERS = ("sqlite3", "aiosqlite", "asyncpg")
COMMAND_LINE = ("typer", "rich", "uvloop")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("flowstate_server.flows", TRANSPORT + DRIVERS + COMMAND_LINE),
        ("flowstate_server.state", TRANSPORT + DRIVERS + COMMAND_LINE),
        ("flowstate_server.app", TRANSPORT + DRIVERS + COMMAND_LINE),
        ("flowstate_server.testing", TRANSPORT + DRIVERS + COMMAND_LINE),
        ("flowstate_server.stores.commit", (*TRANSPORT, *DRIVERS, *COMMAND_LINE, "pydantic")),
        ("flowstate_client", (*DRIVERS, *COMMAND_LINE, "flowstate_server")),
    ],
)
def test_importing_a_part_loads_nothing_of_the_others(module: str, unwanted: tuple[str, ...]) -> None:
    program = f"import sys, {module}; print(*[name for name in {unwanted!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
