from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

import flowstate_client
from tests.cli.flowstate_command import completed, flowstate, started


@pytest.mark.parametrize("library", ["typer", "rich", "grpc_health", "aiosqlite"])
def test_without_the_server_extra_it_names_the_extra(library: str) -> None:
    program = (
        f"import sys; sys.modules[{library!r}] = None; from flowstate_server.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "examples.chat:flowstate", "--store", "sqlite:///unused.db"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'flowstate-grpc[server]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_help_names_the_commands() -> None:
    done = completed("--help")
    assert done.code == 0
    for command in ("serve", "call", "tail"):
        assert command in done.stdout


def test_it_tells_its_version() -> None:
    done = flowstate("--version")
    assert (done.code, done.stdout, done.stderr) == (0, f"flowstate {version('flowstate-grpc')}\n", "")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sevre", "serve"),
        ("session", "sessions"),
        ("resource", "resources"),
        ("delete-session", ""),
        ("x", ""),
    ],
)
def test_an_unknown_command_is_misuse(typed: str, meant: str) -> None:
    done = flowstate(typed)
    assert (done.code, done.stdout) == (2, "")
    assert f"No such command '{typed}'" in done.stderr
    assert (f"Did you mean '{meant}'" in done.stderr) if meant else ("Did you mean" not in done.stderr)


def test_it_tells_its_version_by_a_short_option_and_in_python() -> None:
    assert flowstate("-V") == flowstate("--version")
    assert flowstate_client.__version__ == version("flowstate-grpc")


@pytest.mark.parametrize("command", [(), ("serve",), ("call",), ("tail",), ("store",), ("store", "copy")])
def test_a_switch_is_shown_without_a_value(command: tuple[str, ...]) -> None:
    done = flowstate(*command, "--help")
    assert done.code == 0
    assert "--help" in done.stdout
    assert "bool" not in done.stdout.lower()


def test_u8_what_stdout_cannot_encode_is_escaped(slow_server: str) -> None:
    text = "zoë 😀 ≠"
    call = ("call", "slow", "echo", json.dumps(text), "--server", slow_server, "--request-id", "escaped")
    with started(*call, PYTHONIOENCODING="ascii", PYTHONUTF8="0") as process:
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 0, stderr
    assert stdout.isascii()
    assert json.loads(stdout) == text
    tail = ("tail", "escaped", "--server", slow_server)
    with started(*tail, PYTHONIOENCODING="ascii", PYTHONUTF8="0") as process:
        stdout, _ = process.communicate(timeout=30)
    assert json.loads(stdout.splitlines()[-1])["output"] == text


def test_without_stdout_it_does_its_work() -> None:
    command = 'exec "$0" -m flowstate_server health --server 127.0.0.1:1 >&-'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable], stderr=subprocess.PIPE, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (3, "flowstate: no server at 127.0.0.1:1\n")


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "RuntimeError from KeyboardInterrupt()"])
def test_ctrl_c_while_libraries_are_loaded_says_nothing(raised: str) -> None:
    """The second as CPython up to 3.11 makes it of one that comes while a class is made."""
    program = (
        "import sys; from importlib.abc import MetaPathFinder\n"
        "class Interrupted(MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'flowstate_server.cli.info': raise {raised}\n"
        "sys.meta_path.insert(0, Interrupted()); sys.argv = ['flowstate', 'info']\n"
        "from flowstate_server.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")
