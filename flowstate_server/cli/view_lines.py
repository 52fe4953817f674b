"""What has changed in a view, as lines for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from flowstate_client import Failure, Scope, Snapshot
from flowstate_server.cli.live_view import values_of
from flowstate_server.cli.telling import json_line, on_terminal
from flowstate_server.cli.terminal_text import named, plain, quoted


class ViewLines:
    """Views of one watch, one after the other."""

    def __init__(self) -> None:
        self._before: Mapping[Scope, Mapping[str, Any]] = {}

    def of(self, view: Snapshot[Any]) -> Iterator[Text]:
        """``14:02:11 session  version 3 count=1 title removed``, a line for each scope that differs from the view
        before."""
        now = values_of(view)
        for scope, values in now.items():
            before = self._before.get(scope, {})
            facts = [_fact(name, value) for name, value in values.items() if before.get(name, _NEW) != value]
            facts += [f"{name} removed" for name in before if name not in values]
            if facts or scope not in self._before:
                line = Text(f"{datetime.now(UTC).astimezone():%H:%M:%S} ", style="dim")
                line.append(f"{scope:<8} ", style="cyan")
                line.append(plain(" ".join((f"version {view.versions[scope]}", *facts))))
                yield line
        self._before = now


_NEW = object()


def _fact(name: str, value: Any) -> str:
    if isinstance(value, Failure):
        return f"{name} failed: {value.reason} {quoted(value.message)} {value.error_id}".rstrip()
    return named(name, value)


def view_printer(console: Console) -> Callable[[Snapshot[Any]], None]:
    """Prints each view: what has changed on a terminal, the whole as a line of JSON in a pipe."""
    if not on_terminal(console.file):
        return lambda view: print(view_json(view), flush=True)
    lines = ViewLines()

    def show(view: Snapshot[Any]) -> None:
        for line in lines.of(view):
            console.print(line, no_wrap=True, overflow="ellipsis")

    return show


def view_json(view: Snapshot[Any]) -> str:
    """The view as one line of JSON."""
    return json_line(view)
