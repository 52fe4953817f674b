"""The wheel in an empty environment, with what it asks the package index for: it serves the README's flow."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packaging.conftest import CHECKOUT

pytestmark = [
    pytest.mark.skipif(
        "TEST_WHEEL" not in os.environ, reason="installs from the package index: make test-wheel"
    ),
    pytest.mark.timeout(900),
]

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", (CHECKOUT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)
FLOW = next(block for block in BLOCKS if "create_flowstate(flows=" in block)

CALL = """
import asyncio, importlib.resources, json, sys
from flowstate_client import FlowStateClient
from my_client import ChatFlow, Say

async def main():
    async with FlowStateClient.connect(sys.argv[1], user="ada") as client:
        await client.ready(20)
        said = await ChatFlow(client).say(Say(message="hello"), session_id="s")
        seen = (await ChatFlow(client).snapshot("s")).client_data.session.message_count
        contract = importlib.resources.files("flowstate")
        assert (contract / "flowstate.binpb").read_bytes()
        assert "service FlowService" in (contract / "v1/flow_service.proto").read_text()
        print(json.dumps([said.strip(), seen]))

asyncio.run(main())
"""


class Environment:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / ("Scripts" if sys.platform == "win32" else "bin")
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FLOWSTATE_"))
        }
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)

    def run(
        self, program: str, *arguments: str, cwd: Path, code: int = 0
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / program), *arguments]
        done = subprocess.run(
            command, cwd=cwd, env=self.variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done

    def install(self, what: str) -> None:
        self.run("python", "-m", "pip", "install", "-q", what, cwd=self.folder)


def test_the_wheel_serves_the_flow_of_the_readme(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment")
    here = tmp_path / "project"
    here.mkdir()
    (here / "my_chat.py").write_text(FLOW, "utf-8")

    environment.install(str(wheel))  # the client alone
    environment.run("python", "-W", "error", "-c", "import flowstate_client.history", cwd=here)
    told = environment.run("flowstate", "serve", "my_chat:flowstate", cwd=here, code=2).stderr
    assert "pip install '.[server]'" in told

    environment.install(f"{wheel}[server]")
    environment.run("python", "-m", "pip", "check", cwd=here)
    stub = environment.run("flowstate", "client-stub", "my_chat:flowstate", cwd=here).stdout
    (here / "my_client.py").write_text(stub, "utf-8")
    (here / "call.py").write_text(CALL, "utf-8")
    serve = ["serve", "my_chat:flowstate", "--store", "sqlite:///chat.db", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(
        [environment.bin / "flowstate", *serve],
        cwd=here,
        env=environment.variables,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            address = json.loads(server.stdout.readline())["address"]
            called = environment.run("python", "-W", "error", "call.py", address, cwd=here).stdout
            assert json.loads(called) == ["You said: hello", 1]
            shell = ("call", "chat", "say", '{"message": "again"}', "--session", "s", "--server", address)
            again = environment.run("flowstate", *shell, "--user", "ada", cwd=here).stdout
            assert again.strip().strip('"').strip() == "You said: again"
        finally:
            server.terminate()
    assert server.returncode == 0
