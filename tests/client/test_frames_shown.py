"""What pytest shows of a test that fails in a call of the client: the test's own line and the error."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import flowstate_client
import flowstate_client.sync
from flowstate_client import ActionFailed, Failure
from flowstate_client.errors import hides_our_frames

CONFTEST = """
import pytest
from pydantic import BaseModel
from flowstate_server.flows import Context, action, define_flow, handler

class Desk(BaseModel):
    opened: int = 0

@handler(session_state=Desk)
async def fail(value: str, ctx: Context[Desk]) -> str:
    raise LookupError

@pytest.fixture
def flowstate_app():
    return [define_flow("desk", actions={"go": action(block=fail)})]
"""
TESTS = """
import pytest

@pytest.fixture
async def session_id(flowstate_client):
    return (await flowstate_client.sessions.create("desk", user_id="ada")).id

async def test_call(flowstate_client):
    await flowstate_client.flows.call("desk", "go", "x", user_id="ada")

async def test_refused_call(flowstate_client):
    await flowstate_client.flows.call("desk", "go", {"x": 1}, user_id="ada")

async def test_result(flowstate_client):
    run = await flowstate_client.flows.dispatch("desk", "go", "x", user_id="ada")
    await run.result()

async def test_events(flowstate_client):
    async for event in flowstate_client.flows.handle("nothing").events():
        pass

async def test_stream(flowstate_client):
    async with flowstate_client.flows.stream("nothing", "go") as events:
        async for event in events:
            pass

async def test_state(flowstate_client, session_id):
    await flowstate_client.state.session(session_id).patch_state({"opened": "x"})

async def test_batch(flowstate_client, session_id):
    async with flowstate_client.state.batch() as batch:
        batch.session(session_id).patch_state({"opened": "x"})

async def test_snapshot(flowstate_client):
    await flowstate_client.sessions.snapshot("nothing")

async def test_pages(flowstate_client):
    async for note in flowstate_client.journal.list("nothing"):
        pass

async def test_what_is_not_json(flowstate_client):
    await flowstate_client.flows.call("desk", "go", object(), user_id="ada")
"""


def test_pytest_shows_the_tests_line_and_the_error(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_desk.py").write_text(TESTS)
    options = ["asyncio_mode=auto", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--show-capture=no"]
    command += ["-p", "flowstate_server.testing.fixtures"]
    command += [part for option in options for part in ("-o", option)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert f"{TESTS.count('async def test_')} failed" in ran.stdout, ran.stdout + ran.stderr
    assert "ActionFailed: INTERNAL" in ran.stdout
    assert "flowstate_client/" not in ran.stdout
    assert "raise " not in ran.stdout


def test_every_module_of_the_client_hides_its_frames() -> None:
    names = [
        f"{package.__name__}.{found.name}"
        for package in (flowstate_client, flowstate_client.sync)
        for found in pkgutil.iter_modules(package.__path__)
    ]
    modules = [importlib.import_module(name) for name in names if name != "flowstate_client.testing"]
    assert all(vars(module)["__tracebackhide__"] is hides_our_frames for module in modules)


@pytest.mark.parametrize(
    ("error", "hidden"),
    [
        (ActionFailed(Failure("INTERNAL", "the action failed"), request_id="r"), True),
        (ValueError("not JSON"), True),
        (AttributeError("a fault of ours"), False),
    ],
)
def test_our_own_faults_are_shown(error: Exception, hidden: bool) -> None:
    assert hides_our_frames(SimpleNamespace(value=error)) is hidden
