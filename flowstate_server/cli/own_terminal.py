"""The terminal that this process is on, and what is written where nobody reads any more."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_STANDARD_STREAMS = (0, 1, 2)


def on_own_terminal() -> bool:
    """Whether stdin, stdout or stderr is a terminal. Ask while it is there: one that was closed is none any more."""
    return any(os.isatty(descriptor) for descriptor in _STANDARD_STREAMS)


def drop_unwritten() -> None:
    """Call this at the end: text that stdout and stderr could not be given (a terminal that has gone, a closed pipe, a
    full disk) is dropped, for Python would try again when it leaves, and turn the exit code into 120."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # none where it was closed before
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
