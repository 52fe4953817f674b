"""The plugin of pytest, in a project of somebody who installed FlowState."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from flowstate_server.testing import RunningServer, StartServer, fixtures, running_server, server

ROOT = Path(__file__).parents[3]
FLOW = """
from flowstate_server.flows import Context, action, define_flow, handler

@handler
async def greet(value: None, ctx: Context) -> str:
    return "hello"

flow = define_flow("desk", actions={"go": action(block=greet)})
"""
CONFTEST = """
import pytest
from desk import flow

@pytest.fixture
def flowstate_app():
    return [flow]
"""
USED = """
import pytest

@pytest.mark.parametrize("time", [1, 2])
async def test_used(flowstate_client, flowstate_server, time):
    assert await flowstate_client.flows.call("desk", "go", user_id="ada", session_id="s") == "hello"
    async with flowstate_server.connect(user="ada") as ada:
        assert [session.id async for session in ada.sessions.list()] == ["s"]

async def test_another(start_server, flowstate_app, flowstate_server):
    other = await start_server(flowstate_app)
    assert other.target != flowstate_server.target
"""
UNUSED = """
import sys

def test_nothing_is_loaded():
    assert "flowstate_server.testing.fixtures" in sys.modules
    loaded = {name.partition(".")[0] for name in sys.modules}
    assert not loaded & {"grpc", "pydantic", "flowstate", "flowstate_client", "orjson"}
    ours = {name for name in sys.modules if name.startswith("flowstate_server.")}
    assert ours == {"flowstate_server.testing", "flowstate_server.testing.fixtures"}
"""
REPLACED = """
import pytest
from contextlib import asynccontextmanager
from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, action, define_flow, handler

class Clock:
    time = "now"

class FakeClock(Clock):
    time = "then"

@handler
async def tell(value: None, ctx: Context) -> str:
    return ctx.dependency(Clock).time

@asynccontextmanager
async def lifespan():
    raise RuntimeError("not in tests")
    yield

@pytest.fixture
def flowstate_app():
    flow = define_flow("desk", actions={"go": action(block=tell)})
    return create_flowstate(flows=[flow], lifespan=lifespan)

@pytest.fixture
def flowstate_dependencies():
    return FakeClock()

async def test_replaced(flowstate_client):
    assert await flowstate_client.flows.call("desk", "go", user_id="ada") == "then"
"""
FORGOTTEN = "async def test_it(flowstate_client): ..."


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder that pip could have installed the entry points of ``pyproject.toml`` into."""
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    info = tmp_path / "site" / "flowstate_test-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: flowstate-test\nVersion: 1\n")
    lines = [f"{name} = {place}" for name, place in entry_points["pytest11"].items()]
    (info / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines, ""]))
    return info.parent


def pytest_of(project: Path, installed: Path, **files: str) -> str:
    project.mkdir()
    for name, text in files.items():
        (project / f"{name}.py").write_text(text)
    path = os.pathsep.join([str(installed), *(entry for entry in sys.path if entry)])
    scope = "asyncio_default_fixture_loop_scope=function"
    command = (sys.executable, "-m", "pytest", "-o", "asyncio_mode=auto", "-o", scope, "-W", "error")
    ran = subprocess.run(
        command,
        cwd=project,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_a_server_and_a_client_of_the_app_are_there(tmp_path: Path, installed: Path) -> None:
    shown = pytest_of(tmp_path / "p", installed, desk=FLOW, conftest=CONFTEST, test_used=USED)
    assert "3 passed" in shown, shown


def test_a_conftest_may_name_the_plugin_too(tmp_path: Path, installed: Path) -> None:
    conftest = f'pytest_plugins = ["flowstate_server.testing.fixtures"]\n{CONFTEST}'
    shown = pytest_of(tmp_path / "p", installed, desk=FLOW, conftest=conftest, test_used=USED)
    assert "3 passed" in shown, shown


def test_dependencies_are_replaced(tmp_path: Path, installed: Path) -> None:
    shown = pytest_of(tmp_path / "p", installed, test_replaced=REPLACED)
    assert "1 passed" in shown, shown


def test_a_run_without_them_loads_nothing(tmp_path: Path, installed: Path) -> None:
    shown = pytest_of(tmp_path / "p", installed, test_unused=UNUSED)
    assert "1 passed" in shown, shown


def test_an_app_that_is_missing_is_asked_for(tmp_path: Path, installed: Path) -> None:
    shown = pytest_of(tmp_path / "p", installed, test_forgotten=FORGOTTEN)
    assert "define it in conftest.py" in shown, shown


def test_what_is_annotated_comes_from_one_module() -> None:
    assert (RunningServer, running_server) == (server.RunningServer, server.running_server)
    assert StartServer is fixtures.StartServer


@pytest.mark.parametrize(("given", "expected"), [({}, "NONE"), ({"GRPC_VERBOSITY": "INFO"}, "INFO")])
def test_grpc_is_quiet_unless_somebody_wants_to_hear_it(given: dict[str, str], expected: str) -> None:
    program = "import flowstate_server.testing.fixtures, os; print(os.environ['GRPC_VERBOSITY'])"
    kept = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=kept | given, capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.strip() == expected
