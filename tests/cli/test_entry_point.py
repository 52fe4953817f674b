from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

from tests.cli.flowstate_command import completed, flowstate


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


def test_an_unknown_command_is_misuse() -> None:
    assert flowstate("sevre").code == 2
