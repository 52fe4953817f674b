"""How a command says that it can't go on."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from flowstate_server.cli.telling import on_terminal
from flowstate_server.cli.terminal_text import plain

_PACKAGE = Path(__file__).parents[1]

FAILED = 1
MISUSED = 2
UNREACHABLE = 3
NOT_FOUND = 4
TIMED_OUT = 5
INTERRUPTED = 130
"""Exit codes: it went wrong; it was asked for wrongly, and another attempt is as vain; no server, or one that is busy;
there is no such thing; the time was over, and what was begun goes on; ended by Ctrl-C."""


def give_up(problem: str, code: int, facts: str = "") -> NoReturn:
    """End the command with one line on stderr; ``facts`` are for who looks for the cause, and stand behind it."""
    _tell(problem, "red", facts)
    raise typer.Exit(code)


def give_up_listening(error: OSError) -> NoReturn:
    code = MISUSED if isinstance(error, PermissionError) else UNREACHABLE
    give_up(f"{error}; --listen (FLOWSTATE_LISTEN) names another address", code)


def note(words: str) -> None:
    """One line on stderr that ends nothing."""
    _tell(words, "yellow")


class Warnings(logging.Handler):
    """What the client warns of, each as one line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell(record.getMessage(), "yellow")


def _tell(problem: str, style: str, facts: str = "") -> None:
    line = Text.assemble((f"flowstate: {plain(' '.join(problem.split()))}", style))
    if facts:
        line.append(f" ({plain(' '.join(facts.split()))})", style="dim")
    with suppress(OSError):  # nobody reads it, which changes nothing
        if on_terminal(sys.stderr):
            # Wrapped between words; what is longer than a line, such as a path, stays whole.
            Console(stderr=True, highlight=False).print(line, overflow="ignore", crop=False)
        else:  # not by way of rich, which ends the process where a pipe is closed
            print(line.plain, file=sys.stderr)


def place_of(error: BaseException) -> str:
    """Where in the author's own files ``error`` came up, as `` (file, line n)``; empty if not in one."""
    place, trace = "", error.__traceback__
    roots = (Path.cwd(), Path(sys.path[0]).absolute())  # the second may be the folder of the app
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        root = next((root for root in roots if path.is_relative_to(root)), None)
        if root is not None and not path.is_relative_to(_PACKAGE) and "site-packages" not in path.parts:
            place = f" ({path.relative_to(root)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
