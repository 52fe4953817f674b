from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.two_flows import admin, chat, flowstate, maintenance
from examples.two_flows.importer import together
from examples.two_flows.preferences import Preferences
from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.testing import FlowTester
from flowstate_server.testing.child_signals import with_default_signals
from flowstate_server.testing.server import running_server

CHECKOUT = Path(__file__).parents[2]
MESSAGE = 'declare incompatible user state schemas (incompatible-shape: field "tone": '


async def test_what_the_admin_chooses_the_chat_goes_by() -> None:
    async with running_server(flowstate) as server, server.connect(user="ada", plane="trusted") as client:
        assert await client.flows.call("chat", "greet", "Ada") == "Good morning, Ada."
        assert await client.flows.call("admin", "adjust", {"tone": "cheerful", "language": "pt"}) == 1
        assert await client.flows.call("chat", "greet", "Ada") == "Hi Ada!"
        assert await client.flows.call("maintenance", "tidy", None) == 1
        shared = (await client.state.user("ada").get()).state
        assert shared == {"tone": "cheerful", "language": "pt"}
        session = await client.sessions.create("chat")
        shown = (await client.sessions.snapshot(session.id)).client_data["user"]
        assert shown == shared


async def test_each_flow_alone() -> None:
    async with FlowTester(chat) as tester:
        assert (await tester.run("greet", "Ada")).output == "Good morning, Ada."
    async with FlowTester(admin) as tester:
        assert (await tester.run("adjust", Preferences(tone="plain"))).output == 1
    async with FlowTester(maintenance) as tester:
        assert (await tester.run("tidy", None)).output == 1


def test_the_importer_is_refused() -> None:
    with pytest.raises(CrossFlowSchemaConflictError) as refused:
        together()
    assert MESSAGE in str(refused.value)
    assert refused.value.flow_b == "importer"


def test_the_demo_shows_who_is_refused(tmp_path: Path) -> None:
    path = os.environ.get("PYTHONPATH")
    done = subprocess.run(
        with_default_signals(sys.executable, "-m", "examples.two_flows.demo"),
        cwd=CHECKOUT,
        env={"TMPDIR": str(tmp_path), **({"PYTHONPATH": path} if path else {})},
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "Hi Ada!" in done.stdout
    checked, serve = done.stdout.split("== flowstate serve")
    for said, code in ((checked, "1"), (serve, "2")):
        assert MESSAGE in said
        assert f"exit code  {code}" in said
    assert "Not deployable." in checked
    assert list(tmp_path.iterdir()) == []
