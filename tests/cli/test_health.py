"""``flowstate health``: its exit code tells the state."""

from __future__ import annotations

import json
import signal

import pytest

from flowstate_server.cli import connection, health as health_command
from tests.cli.flowstate_command import flowstate, started, told
from tests.support.ports import lasting_port

SERVE = ("serve", "tests.cli.desk_flow:app", "--listen")


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connection, health_command):
        monkeypatch.setattr(module, "REACH_SECONDS", 0.2)
    done = flowstate("health", "--server", "127.0.0.1:1")
    assert (done.code, done.stdout, done.stderr) == (3, "", "flowstate: no server at 127.0.0.1:1\n")
    assert flowstate("health", "--server", "127.0.0.1:1", "--wait", "0.3").code == 3


def test_it_waits_for_a_server_that_comes_and_tells_of_one_that_goes() -> None:
    address = f"127.0.0.1:{lasting_port()}"
    with started(*SERVE, address, FLOWSTATE_DRAIN_DELAY="50") as server:
        done = flowstate("health", "--server", address, "--wait", "50")
        assert (done.code, json.loads(done.stdout), done.stderr) == (0, {"status": "serving"}, "")
        told(server, "listening")
        server.send_signal(signal.SIGTERM)
        told(server, "stopping")
        done = flowstate("health", "--server", address)
        assert (done.code, json.loads(done.stdout)) == (1, {"status": "not_serving"})
        assert flowstate("health", "--server", address, "--wait", "0.5").code == 1
