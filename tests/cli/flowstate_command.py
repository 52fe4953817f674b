"""The command ``flowstate``, in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from flowstate_server.cli.application import application
from flowstate_server.testing.child_signals import with_default_signals

CHECKOUT = Path(__file__).parents[2]
SECONDS = 30


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


def flowstate(*arguments: str, input: str = "", **environment: str) -> Done:
    """Run it to its end, in this process."""
    cleared = {name: None for name in os.environ if name.startswith("FLOWSTATE_")}
    changed = cleared | {"GRPC_VERBOSITY": None} | environment  # what the command sets does not outlive it
    result = CliRunner().invoke(application, arguments, input=input, env=changed, catch_exceptions=False)
    return Done(result.exit_code, result.stdout, result.stderr)


def completed(*arguments: str, cwd: Path = CHECKOUT) -> Done:
    """Run it to its end, in a process of its own."""
    with started(*arguments, cwd=cwd) as process:
        stdout, stderr = process.communicate(timeout=SECONDS)
    return Done(process.returncode, stdout, stderr)


@contextmanager
def started(*arguments: str, cwd: Path = CHECKOUT, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start it; what is still running at the end of the ``with`` is killed."""
    process = subprocess.Popen(
        with_default_signals(sys.executable, "-m", "flowstate_server", *arguments),
        cwd=cwd,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def stderr_of(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """Its lines up to now. It is killed at the end, for a pipe that is closed while it is read fails the reader."""
    assert process.stderr is not None
    lines: list[str] = []
    reading = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
    reading.start()
    try:
        yield lines
    finally:
        process.kill()
        reading.join()


def told(process: subprocess.Popen[str], event: str) -> dict[str, Any]:
    """The next line of its stdout, which must be of that event."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        assert process.stderr is not None
        raise AssertionError(f"the server said nothing: {process.stderr.read()}")
    said: dict[str, Any] = json.loads(line)
    assert said["event"] == event
    return said


def _environment(extra: dict[str, str]) -> dict[str, str]:
    """The environment without settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWSTATE_")}
    return kept | extra
