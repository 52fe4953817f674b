"""What a command shows, on a terminal of 80 columns and in a pipe, compared with files in ``tests/cli/golden``.

``FLOWSTATE_UPDATE_GOLDEN=1`` writes the files anew; read what changed before you commit it.
"""

from __future__ import annotations

import codecs
import difflib
import os
import pty
import re
import shlex
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from threading import Thread
from unittest import mock

from flowstate_server.cli.application import application
from tests.cli.flowstate_command import Done, flowstate

GOLDEN = Path(__file__).parent / "golden"
UPDATE = "FLOWSTATE_UPDATE_GOLDEN"
COLUMNS = 80

# What differs from run to run. Each is replaced by something as long, so that columns stay where they are.
_VARYING = (
    (re.compile(r"\b(sess|req|note|item|proc|err)_[0-9a-z]{26}\b"), lambda found: f"{found[1]}_{'0' * 26}"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)"), lambda _: "2026-01-01T00:00:00Z"),
    (re.compile(r"\b[A-Z][a-z]{2} \d\d \d\d:\d\d\b"), lambda _: "Jan 01 00:00"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), lambda _: "00:00:00"),
    (re.compile(r"^took( +).*$", re.MULTILINE), lambda found: f"took{found[1]}0.00 s"),
    (re.compile(r"\b(in|after) \d+\.\d\d s\b"), lambda found: f"{found[1]} 0.00 s"),
    (re.compile(r'"sequence":\d+'), lambda _: '"sequence":0'),
    (re.compile(r"\bephemeral_[0-9]+_[0-9a-z]+\b"), lambda found: "ephemeral_".ljust(len(found[0]), "0")),
    (re.compile(r'"(log_id|incarnation|event_id)":"[0-9a-z-]+"'), lambda found: f'"{found[1]}":"0"'),
    (re.compile(r'"elapsed":[0-9.e-]+'), lambda _: '"elapsed":0.0'),
    (re.compile(r"\bcorrelation id [^)\s]+\)"), lambda _: "correlation id 0)"),
    (re.compile(r"\b[0-9a-f]{64}\b"), lambda _: "0" * 64),
    (re.compile(r"\b127\.0\.0\.1:\d+\b"), lambda _: "127.0.0.1:7437"),
)


class Transcript:
    """What somebody saw who typed commands one after the other, with ``environment`` set."""

    def __init__(self, **environment: str) -> None:
        self._environment = environment
        self._lines: list[str] = []

    def terminal(self, *arguments: str, typed: str = "") -> Done:
        """Run a command on a terminal; ``typed`` is what somebody answers to a question."""
        done = on_terminal(*arguments, typed=typed, **self._environment)
        self._add(arguments, "", done)
        return done

    def pipe(self, *arguments: str, input: str = "") -> Done:
        """Run a command in a pipe; what it says on stderr is marked."""
        done = flowstate(*arguments, input=input, **self._environment)
        self._add(arguments, " | cat", done)
        return done

    def unseen(self, *arguments: str) -> Done:
        """Run a command that the transcript does not have."""
        return flowstate(*arguments, **self._environment)

    def _add(self, arguments: tuple[str, ...], pipe: str, done: Done) -> None:
        self._lines.append(f"$ {shlex.join(('flowstate', *arguments))}{pipe}")
        self._lines += done.stdout.splitlines()
        self._lines += [f"stderr: {line}" for line in done.stderr.splitlines()]
        if done.code:
            self._lines.append(f"exit code {done.code}")
        self._lines.append("")

    def compare(self, name: str) -> None:
        """Fail with a diff if it is not what ``tests/cli/golden/<name>.txt`` says."""
        compare(name, "\n".join(self._lines))


def compare(name: str, text: str) -> None:
    """Fail with a diff if ``text`` is not what the file of that name says, but for ids and times."""
    path = GOLDEN / f"{name}.txt"
    seen = without_varying(text)
    if os.environ.get(UPDATE):
        path.parent.mkdir(exist_ok=True)
        path.write_text(seen)
        return
    golden = path.read_text() if path.exists() else ""
    assert seen == golden, f"{UPDATE}=1 writes golden/{path.name} anew\n{difference(golden, seen)}"


def difference(told: str, seen: str) -> str:
    """Between what a file says and what was seen, in lines."""
    return "\n".join(difflib.unified_diff(told.splitlines(), seen.splitlines(), "told", "seen", lineterm=""))


def without_varying(text: str) -> str:
    """``text`` with other ids and times, the same in each run."""
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return text


def on_terminal(*arguments: str, typed: str = "", **environment: str) -> Done:
    """Run a command to its end in this process, on a terminal without colours; its stdout is all that was shown."""
    cleared = {name: value for name, value in os.environ.items() if not name.startswith("FLOWSTATE_")}
    cleared.pop("GRPC_VERBOSITY", None)  # what the command sets does not outlive it
    terminal = {"TERM": "dumb", "COLUMNS": str(COLUMNS), "LINES": "25"}
    with mock.patch.dict(os.environ, cleared | terminal | environment, clear=True), _pty(typed) as shown:
        try:
            application(arguments, prog_name="flowstate")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        else:  # pragma: no cover - typer ends by SystemExit always
            code = 0
    return Done(code, "".join(shown).replace("\r\n", "\n"), "")


@contextmanager
def _pty(typed: str) -> Iterator[list[str]]:
    """Stdin, stdout and stderr are a terminal. Gives what it shows, complete after the end."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (25, COLUMNS))
    shown: list[str] = []
    reader = Thread(target=_read, args=(master, shown, typed), daemon=True)
    reader.start()
    with ExitStack() as stack:
        stdin = stack.enter_context(open(os.dup(slave)))
        output = stack.enter_context(open(slave, "w", buffering=1))
        stack.enter_context(mock.patch.object(sys, "stdin", stdin))
        stack.enter_context(redirect_stdout(output))
        stack.enter_context(redirect_stderr(output))
        yield shown
    reader.join(10)
    os.close(master)


def _read(master: int, shown: list[str], typed: str) -> None:
    """Until the other side is closed. Answers the first question."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # Linux says so that nobody has the other side any more
            return
        if not piece:
            return
        shown.append(decoder.decode(piece))
        if typed and "".join(shown).endswith(("]: ", "? ")):
            os.write(master, typed.encode())
            typed = ""
