"""A process on a terminal of its own, at which somebody types."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flowstate_server.testing.child_signals import with_default_signals
from tests.cli.flowstate_command import CHECKOUT

SECONDS = 40.0
COLUMNS = 80

# The first terminal that the leader of a session opens is the one whose Ctrl-C it gets.
_ON_A_TERMINAL = (
    "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """What a process shows, and a keyboard for it."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self._there = True
        self.process = process
        self.shown = ""

    def type(self, keys: str) -> None:
        """Press keys; ``shown`` begins anew."""
        self.shown = ""
        os.write(self._descriptor, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read until the process shows ``text``."""
        end = time.monotonic() + SECONDS
        while text not in self.shown:
            readable, _, _ = select.select([self._descriptor], [], [], max(end - time.monotonic(), 0.0))
            if not readable:
                raise AssertionError(f"{text!r} does not come: {self.shown!r}")
            self.shown += os.read(self._descriptor, 4096).decode(errors="replace")

    def wait_for_end(self) -> int:
        """Read all that the process still shows; its exit code."""
        with suppress(OSError):  # Linux says so that nobody has the other side any more
            while piece := os.read(self._descriptor, 4096):
                self.shown += piece.decode(errors="replace")
        return self.process.wait(SECONDS)

    def close(self) -> None:
        """The terminal goes, and those on it are told."""
        if self._there:
            self._there = False
            os.close(self._descriptor)


@contextmanager
def typing(*command: str, folder: Path | None = None, term: str = "dumb") -> Iterator[Terminal]:
    """A process on a terminal of its own, with the commands of ``folder`` ahead of others."""
    parent, child = pty.openpty()
    termios.tcsetwinsize(child, (25, COLUMNS))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWSTATE_")}
    import_path = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        with_default_signals(sys.executable, "-I", "-S", "-c", _ON_A_TERMINAL, *command),
        env={**kept, "PATH": f"{folder}:{os.environ['PATH']}", "TERM": term, "PYTHONPATH": import_path},
        cwd=CHECKOUT,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
    )
    os.close(child)
    terminal = Terminal(parent, process)
    try:
        yield terminal
    finally:
        process.kill()
        process.wait()
        terminal.close()
