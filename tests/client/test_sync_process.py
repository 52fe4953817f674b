"""The synchronous client in scripts: what they print, how they end, after a fork, interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowstate_server.testing.child_signals import with_default_signals
from tests.client.server_thread import ServerThread

BEGIN = """
import contextlib, os, sys, threading
from flowstate_client import ClientClosedError
from flowstate_client.sync import FlowStateClient
client = FlowStateClient.connect(sys.argv[1], user="ada", plane="trusted")
"""
ENDS = {
    "with": """
with client:
    print(client.flows.call("chat", "say", "hi"))
assert "flowstate-client" not in [thread.name for thread in threading.enumerate()]
""",
    "open": """
client.resources.session(client.sessions.create("chat").id)["plan"].upload(__file__)
events = client.flows.stream("chat", "wait", "x")
next(events)
def wait():
    with contextlib.suppress(ClientClosedError):
        events.run.result()
threading.Thread(target=wait, daemon=True).start()
print("hi ")
""",
    "beside": """
client.server.info()
for _ in range(40):
    with FlowStateClient.connect(sys.argv[1], user="ada") as other:
        events = other.flows.dispatch("chat", "wait", "x").events()
        next(events)
print("hi ")
""",
    "exit": "client.server.info()\nprint('hi ')\nsys.exit(3)",
}


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    with ServerThread() as running:
        yield running


def script(folder: Path, code: str, server: ServerThread, *options: str) -> list[str]:
    path = folder / "script.py"
    path.write_text(BEGIN + code)
    return with_default_signals(sys.executable, *options, str(path), server.target)


@pytest.mark.parametrize("how", ENDS)
def test_a_script_ends_without_a_word(server: ServerThread, tmp_path: Path, how: str) -> None:
    command = script(tmp_path, ENDS[how], server, "-W", "error")
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("hi \n", "", 3 if how == "exit" else 0)


def test_ctrl_c_cancels_the_call_and_the_client_goes_on(server: ServerThread, tmp_path: Path) -> None:
    code = """
for begin in (
    lambda: client.flows.dispatch("chat", "wait", "x").result(),
    lambda: list(client.flows.stream("chat", "wait", "x")),
):
    try:
        print("waiting", flush=True)
        begin()
    except KeyboardInterrupt:
        print(client.flows.call("chat", "say", "interrupted"), flush=True)
"""
    command = script(tmp_path, code, server, "-W", "error")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(2):
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "interrupted \n"
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("left", ["client.close()", "del client"])
def test_what_was_interrupted_while_it_opened_ends(server: ServerThread, tmp_path: Path, left: str) -> None:
    code = f"""
import asyncio
import flowstate_client
really = flowstate_client.FlowStateClient.__aenter__
async def slowly(self):
    print("waiting", flush=True)
    await asyncio.sleep(0.5)
    return await really(self)
flowstate_client.FlowStateClient.__aenter__ = slowly
try:
    client.server.info()
except KeyboardInterrupt:
    pass
{left}
for thread in threading.enumerate():
    if thread.name == "flowstate-client":
        thread.join(10)
        assert not thread.is_alive()
"""
    command = script(tmp_path, code, server, "-W", "error")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(20) == 0
        finally:
            process.kill()
        assert process.stderr.read() == ""


def test_a_script_that_is_interrupted_ends(server: ServerThread, tmp_path: Path) -> None:
    code = "print('waiting', flush=True)\nclient.flows.call('chat', 'wait', 'x')"
    command = script(tmp_path, code, server)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
        assert process.stderr.read().splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_process_is_told_to_make_its_own(server: ServerThread, tmp_path: Path) -> None:
    code = """
run = client.flows.dispatch("chat", "say", "parent")
events = run.events()
child = os.fork()
if not child:
    for call in (lambda: client.server, run.result, events.__next__, lambda: client.flows):
        try:
            call()
        except RuntimeError as error:
            print(error, flush=True)
    client.close()
    sys.exit(7)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(run.result(), status)
"""
    # Python warns of a fork beside threads, gRPC writes about it: both are what this is about.
    command = script(tmp_path, code, server)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    problem = (
        "this client was opened before the process was forked, and does not survive that: "
        "make a new one in each process, after the fork"
    )
    assert ended.stdout.splitlines() == [problem] * 4 + ["parent  7"], ended.stderr
    assert ended.returncode == 0
