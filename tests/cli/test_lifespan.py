"""``flowstate serve`` and the lifespan of what it serves."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from flowstate_client import FlowStateClient
from tests.cli.flowstate_command import completed, started, told

APP = """
import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path

from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, action, define_flow, handler


class Clock:
    time = "noon"


@asynccontextmanager
async def lifespan():
    how = os.environ.get("HOW", "")
    if how == "refused":
        raise ConnectionError("refused")
    if how == "exits":
        raise SystemExit(0)
    Path("log").write_text("entered ")
    try:
        if how == "slow":
            await asyncio.Event().wait()
        while how == "stubborn":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
        yield Clock()
    finally:
        Path("log").write_text(Path("log").read_text() + "left")


@handler
async def tell(value: None, ctx: Context) -> str:
    return ctx.dependency(Clock).time


flow = define_flow("desk", actions={"tell": action(block=tell)})
app = create_flowstate(flows=[flow], lifespan=lifespan)
"""
COMMAND = ("serve", "my_app:app", "--listen", "127.0.0.1:0")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "my_app.py").write_text(APP)
    return tmp_path


def entered(project: Path) -> bool:
    return (project / "log").exists() and "entered" in (project / "log").read_text()


async def test_it_is_entered_before_the_server_listens_and_left_when_it_stops(project: Path) -> None:
    with started(*COMMAND, cwd=project) as process:
        address = told(process, "listening")["address"]
        assert (project / "log").read_text() == "entered "
        async with FlowStateClient.connect(address, user="ada") as client:
            assert await client.flows.call("desk", "tell") == "noon"
        process.terminate()
        assert process.wait(10) == 0
    assert (project / "log").read_text() == "entered left"


@pytest.mark.parametrize(
    ("how", "cause"), [("refused", "ConnectionError: refused"), ("exits", "SystemExit: 0")]
)
def test_a_server_whose_lifespan_fails_does_not_start_and_says_why(
    project: Path, how: str, cause: str
) -> None:
    with started(*COMMAND, cwd=project, HOW=how) as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, ""), "another attempt may go well"
    assert f"The lifespan of the application failed: {cause} (my_app.py, line " in err
    assert "Traceback" not in err


def test_it_is_left_when_the_server_cannot_listen(project: Path) -> None:
    done = completed("serve", "my_app:app", "--listen", "unix:/nowhere/socket", cwd=project)
    assert done.code == 2
    assert "can't listen" in done.stderr
    assert (project / "log").read_text() == "entered left"


@pytest.mark.parametrize(("how", "log"), [("slow", "entered left"), ("stubborn", "entered ")])
def test_a_signal_ends_a_server_that_is_still_starting(project: Path, how: str, log: str) -> None:
    with started(*COMMAND, cwd=project, HOW=how) as process:
        end = time.monotonic() + 20
        while not entered(project) and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert (project / "log").read_text() == log
