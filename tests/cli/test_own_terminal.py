"""Servers whose terminal goes, or whose lines nobody takes."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from flowstate_server.testing.child_signals import with_default_signals
from tests.cli.flowstate_command import CHECKOUT, flowstate
from tests.cli.shell_terminal import typing
from tests.support.ports import lasting_port

COMMAND = (sys.executable, "-m", "flowstate_server")
SERVE = (*COMMAND, "serve", "tests.cli.slow_flow:slow", "--log-level", "debug")
LISTENING = "Ctrl-C stops it."


def stores(folder: Path) -> dict[str, str]:
    return {"memory": "memory", "sqlite": f"sqlite:///{folder}/slow.db", "folder": f"file:{folder}/slow"}


@pytest.mark.parametrize("store", ["memory", "sqlite", "folder"])
def test_a_terminal_that_is_closed_stops_the_server_without_haste(store: str, tmp_path: Path) -> None:
    address = f"127.0.0.1:{lasting_port()}"
    with typing(*SERVE, "--listen", address, "--store", stores(tmp_path)[store]) as terminal:
        terminal.wait_for(LISTENING)
        assert flowstate("call", "slow", "nap", "0.5", "--detach", "--server", address).code == 0
        terminal.close()
        terminal.process.send_signal(signal.SIGHUP)  # as of a shell that leaves, after the kernel's
        assert terminal.process.wait(20) == 0
    assert not list(tmp_path.glob("*-open-*")), "the store was closed"


@pytest.mark.parametrize("closed", ["</dev/null 2>{}", "</dev/null >{}", ">{0} 2>{0}"])
def test_one_of_its_streams_is_enough_for_a_terminal(closed: str, tmp_path: Path) -> None:
    address = f"127.0.0.1:{lasting_port()}"
    script = f'exec "$0" "$@" {closed.format(tmp_path / "log")}'
    with typing("/bin/sh", "-c", script, *SERVE, "--listen", address) as terminal:
        assert flowstate("health", "--server", address, "--wait", "20").code == 0
        terminal.close()
        assert terminal.process.wait(20) == 0
    assert "reloaded" not in (tmp_path / "log").read_text()


def test_a_server_that_restarts_goes_with_its_terminal(tmp_path: Path) -> None:
    store = ("--store", stores(tmp_path)["sqlite"])
    with typing(
        *SERVE, "--listen", "127.0.0.1:0", "--reload", "--app-dir", str(tmp_path), *store
    ) as terminal:
        terminal.wait_for(LISTENING)
        terminal.close()
        assert terminal.process.wait(20) == 0
    assert not list(tmp_path.glob("*-open-*")), "the store was closed"


@pytest.mark.parametrize("store", ["memory", "sqlite"])
def test_a_server_whose_terminal_went_unnoticed_stops_on_a_signal(store: str, tmp_path: Path) -> None:
    terminal, streams = pty.openpty()  # that of nobody's session: who is on it is not told
    _assert_stops(terminal, streams, stores(tmp_path)[store])
    assert not list(tmp_path.glob("*-open-*")), "the store was closed"


def test_a_server_whose_pipe_is_closed_stops_on_a_signal(tmp_path: Path) -> None:
    _assert_stops(*os.pipe(), stores(tmp_path)["sqlite"])


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full, which is always full"
)
def test_a_server_whose_disk_is_full_stops_on_a_signal(tmp_path: Path) -> None:
    nobody, full = os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)
    _assert_stops(nobody, full, stores(tmp_path)["sqlite"])


def test_a_server_whose_log_nobody_reads_stops_on_a_second_signal() -> None:
    address = f"127.0.0.1:{lasting_port()}"
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    command = with_default_signals(*COMMAND, "serve", "tests.cli.slow_flow:slow", "--listen", address)
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=writer) as process:
        try:
            assert flowstate("health", "--server", address, "--wait", "20").code == 0
            with grpc.insecure_channel(address) as channel:
                get: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                    "/flowstate.v1.FlowService/GetActionRequest"
                )
                with pytest.raises(grpc.RpcError):
                    get(b"", timeout=1)  # it is refused, and the line that says so has no room
            process.terminate()
            time.sleep(0.3)  # two signals at once are one
            process.terminate()
            assert process.wait(5) == 1
        finally:
            process.kill()
            os.close(writer)
            os.close(reader)


def _assert_stops(reader: int, writer: int, store: str) -> None:
    """A server that writes to ``writer``, of which ``reader`` goes, ends well and soon."""
    address = f"127.0.0.1:{lasting_port()}"
    command = with_default_signals(*SERVE, "--listen", address, "--store", store)
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, start_new_session=True
    ) as process:
        try:
            os.close(writer)
            assert flowstate("health", "--server", address, "--wait", "20").code == 0
            os.close(reader)
            assert flowstate("call", "slow", "echo", '"hello"', "--server", address).code == 0
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()
