"""How a command says that it can't go on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from flowstate_client import (
    ActionNotFound,
    DeadlineExceeded,
    FlowNotFound,
    FlowStateError,
    NotFound,
    RateLimited,
    RequestNotFound,
    SessionNotFound,
    TimeoutError,
    Unavailable,
)
from flowstate_client.error_reasons import NEEDS_TRUSTED, NO_TOKEN, NO_USER

_PACKAGE = Path(__file__).parents[1]

FAILED = 1
MISUSED = 2
UNREACHABLE = 3
NOT_FOUND = 4
TIMED_OUT = 5
INTERRUPTED = 130
"""Exit codes: it went wrong; it was asked for wrongly, and another attempt is as vain; no server, or one that is busy;
there is no such thing; the time was over, and what was begun goes on; ended by Ctrl-C."""

_CODES: tuple[tuple[type[FlowStateError], int], ...] = (
    (TimeoutError, TIMED_OUT),
    (DeadlineExceeded, TIMED_OUT),
    (NotFound, NOT_FOUND),
    (Unavailable, UNREACHABLE),
    (RateLimited, UNREACHABLE),
)


def code_of(error: FlowStateError) -> int:
    """The exit code of a command that ``error`` ended."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


_HINTS = {
    NO_USER: "give --user: the token stands for no user, or the server asks for no tokens",
    NO_TOKEN: "give --token or FLOWSTATE_TOKEN",
    NEEDS_TRUSTED: "give --trusted, or the token of a service where the server asks for tokens",
}


_WAYS_OUT: tuple[tuple[type[FlowStateError], str], ...] = (
    (FlowNotFound, "; see flowstate flows"),
    (ActionNotFound, "; see flowstate flows FLOW"),
    (SessionNotFound, "; see flowstate sessions list"),
    (RequestNotFound, "; see flowstate requests list"),
)


def words_of(error: FlowStateError) -> str:
    """What the client says of ``error``, with options of the command line where it names arguments in Python."""
    text = str(error)
    for hint, words in _HINTS.items():
        text = text.replace(hint, words)
    return text + next((way for kind, way in _WAYS_OUT if isinstance(error, kind)), "")


def give_up(problem: str, code: int) -> NoReturn:
    """End the command with one line on stderr."""
    _tell(problem, "red")
    raise typer.Exit(code)


def note(words: str) -> None:
    """One line on stderr that ends nothing."""
    _tell(words, "yellow")


class Warnings(logging.Handler):
    """What the client warns of, each as one line on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell(record.getMessage(), "yellow")


def _tell(problem: str, style: str) -> None:
    line = Text(f"flowstate: {' '.join(problem.split())}", style=style)
    Console(stderr=True, highlight=False, soft_wrap=True).print(line)


def place_of(error: BaseException) -> str:
    """Where in the author's own files ``error`` came up, as `` (file, line n)``; empty if not in one."""
    place, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if (
            path.is_relative_to(Path.cwd())
            and not path.is_relative_to(_PACKAGE)
            and "site-packages" not in path.parts
        ):
            place = f" ({path.relative_to(Path.cwd())}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
