"""How far something is that takes long: a bar on stderr, where that is a terminal, gone when it is done."""

from __future__ import annotations

import sys
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from flowstate_server.cli.telling import on_terminal
from flowstate_server.cli.terminal_text import plain

# Content of one piece has gone over before anybody has seen a bar.
LARGE_BYTES = 1024 * 1024


class _Bar:
    def __init__(self, description: str, *columns: ProgressColumn) -> None:
        console = Console(stderr=True)
        text = TextColumn("{task.description}", markup=False)
        self._progress = Progress(
            *(text, *columns),
            console=console,
            transient=True,
            disable=not on_terminal(sys.stderr) or console.is_dumb_terminal,
            redirect_stdout=on_terminal(),  # to where the bar is, that is stderr: what is piped stays in its pipe
        )
        self._task = self._progress.add_task(plain(description), total=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _show(self, **fields: Any) -> None:
        self._progress.update(self._task, **fields)
        self._progress.start()


class CountBar(_Bar):
    """Of what nobody knows the end: it says what has been counted so far."""

    def __init__(self) -> None:
        super().__init__("", BarColumn(bar_width=12), TimeElapsedColumn())

    def show(self, words: str) -> None:
        """Say ``words`` beside the bar."""
        self._show(description=words)


class BytesBar(_Bar):
    """Of content that goes over in pieces. What is not large gets none."""

    def __init__(self, description: str) -> None:
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        super().__init__(description, *columns)

    def show(self, done: int, total: int | None) -> None:
        """As the client tells it: ``done`` bytes of ``total``, where that is known."""
        if total is None or total > LARGE_BYTES:
            self._show(completed=done, total=total)
