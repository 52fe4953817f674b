"""``flowstate serve --reload``: a server in a process below this one, that is started anew when its code changes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from flowstate_server.cli.own_terminal import on_own_terminal
from flowstate_server.cli.problem import UNREACHABLE, note
from flowstate_server.cli.python_files import PythonFiles, imported_files

OPTION = "--reload"
# Between two looks at the files: too short to be waited for, and so long that no more than a twentieth of the time is
# spent on looking, however many files there are. Chosen.
LOOK_SECONDS = 0.3
LOOKING_SHARE = 0.05

_PIPES = "_FLOWSTATE_RESTARTED_BY"
_STDERR = 2
_SEPARATOR = b"\0"
_PIPE_BYTES = 65536


def serve_and_restart(arguments: Sequence[str], folder: Path) -> int:
    """Run the command line ``arguments``, without ``--reload``, until a signal stops it, and again when a Python file
    under ``folder`` changes that it has imported; the exit code of the last one.

    What is under way ends as it does when a server is stopped. A server that ends by itself, as from a mistake in the
    code, is started again at the next change of any Python file there, but for what no change of code mends.
    """
    return _Restarts([one for one in arguments if one != OPTION], folder).run()


def follow_parent(folder: Path) -> None:
    """Where this process was started by :func:`serve_and_restart`: tell it which files under ``folder`` were imported,
    and stop, as at SIGTERM, when it is killed."""
    pipes = os.environ.pop(_PIPES, "")
    if pipes:
        end, told = map(int, pipes.split(","))
        for pipe in (end, told):
            os.set_inheritable(pipe, False)
        threading.Thread(target=_tell_until_end, args=(end, told, folder), daemon=True).start()


def _tell_until_end(end: int, told: int, folder: Path) -> None:
    known: set[str] = set()
    with suppress(OSError):
        while not select.select((end,), (), (), LOOK_SECONDS)[0]:
            found = imported_files(folder)
            for name in found - known:
                os.write(told, os.fsencode(name) + _SEPARATOR)
            known |= found
    os.kill(os.getpid(), signal.SIGTERM)


class _Restarts:
    def __init__(self, arguments: Sequence[str], folder: Path) -> None:
        self._command = [sys.executable, "-m", "flowstate_server", *arguments]
        self._files = PythonFiles(folder)
        self._folder = folder
        self._stopped = threading.Event()
        self._on_terminal = on_own_terminal()
        self._server: subprocess.Popen[bytes] | None = None
        self._end, self._write = os.pipe()  # the end of this process is the end of what the other one reads
        self._told, self._telling = os.pipe()
        os.set_blocking(self._told, False)
        self._imported = b""
        self._changed: dict[Path, None] = {}

    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._forward)
        signal.signal(signal.SIGINT, self._forward)
        signal.signal(signal.SIGHUP, self._forward)
        while True:
            server = self._start()
            changed = self._wait_for_change(server)
            if changed:
                note(f"{self._named(changed)} changed; the server starts again")
                server.terminate()
            code = server.wait()
            if not changed and not self._stopped.is_set():
                if code == UNREACHABLE:  # no change of code mends that
                    return code
                note(f"the server has ended with exit code {code}; a change of a file starts it again")
                self._wait_for_change()
            if self._stopped.is_set():
                return code if code >= 0 else 128 - code

    def _start(self) -> subprocess.Popen[bytes]:
        self._changed.clear()
        self._hear()
        self._imported = b""
        pipes = (self._end, self._telling)
        environment = {**os.environ, _PIPES: ",".join(map(str, pipes))}
        self._server = subprocess.Popen(self._command, env=environment, pass_fds=pipes)
        if self._stopped.is_set():  # by a signal for which there was nobody yet
            self._server.terminate()
        return self._server

    def _wait_for_change(self, server: subprocess.Popen[bytes] | None = None) -> list[Path]:
        """The files that have changed, of those that ``server`` has imported; none if it ended before, or it is to be
        stopped."""
        pause = LOOK_SECONDS
        while not self._stopped.wait(pause) and (server is None or server.poll() is None):
            began = time.perf_counter()
            more = self._files.changed()
            self._changed |= dict.fromkeys(more)
            if not more:  # whoever writes several files has come to an end
                self._hear()
                imported = self._imported.split(_SEPARATOR)
                changed = [path for path in self._changed if server is None or os.fsencode(path) in imported]
                if changed:
                    return changed
            pause = max(LOOK_SECONDS, (time.perf_counter() - began) / LOOKING_SHARE)
        return []

    def _hear(self) -> None:
        """Read what the server has told of files that it has imported, also those that changed a moment before."""
        with suppress(BlockingIOError):
            while told := os.read(self._told, _PIPE_BYTES):
                self._imported += told

    def _forward(self, number: int, frame: object) -> None:
        if number != signal.SIGHUP or self._on_terminal:
            self._stopped.set()
        if self._server is not None and not (number == signal.SIGINT and _typed_here()):
            self._server.send_signal(number)

    def _named(self, changed: Sequence[Path]) -> str:
        first = changed[0].relative_to(self._folder)
        return str(first) if len(changed) == 1 else f"{first} and {len(changed) - 1} more"


def _typed_here() -> bool:
    """Whether Ctrl-C comes from a terminal, which tells the server below as well; told twice it would not wait."""
    with suppress(OSError):
        return os.tcgetpgrp(_STDERR) == os.getpgrp()
    return False
