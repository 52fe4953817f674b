"""What a flow shows of a session, drawn anew where it was when it changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from flowstate_client import Failure, Scope, Snapshot
from flowstate_server.cli.terminal_text import brief, plain, quoted

# Columns for names, beside which values begin. Chosen.
WIDEST_NAME = 30
_NEW = object()


class LiveView:
    """Redraws the view in its place; what differs from the view before stands out. The last one stays."""

    def __init__(self, console: Console) -> None:
        self._before: Mapping[Scope, Mapping[str, Any]] | None = None
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, view: Snapshot[Any]) -> None:
        """Draw ``view`` over the one before."""
        values = values_of(view)
        self._live.update(Group(_headline(view), *_lines(view, values, self._before)), refresh=True)
        self._before = values


def values_of(view: Snapshot[Any]) -> dict[Scope, dict[str, Any]]:
    """By scope and name; a ``Failure`` where there is no value."""
    return {
        scope: {**view.client_data.get(scope, {}), **view.failures.get(scope, {})} for scope in view.versions
    }


def _headline(view: Snapshot[Any]) -> Text:
    line = Text(f"session {plain(view.session_id)}", style="bold", no_wrap=True, overflow="ellipsis")
    line.append(f"  {datetime.now(UTC).astimezone():%H:%M:%S}", style="dim not bold")
    return line


def _lines(
    view: Snapshot[Any],
    values: Mapping[Scope, Mapping[str, Any]],
    before: Mapping[Scope, Mapping[str, Any]] | None,
) -> Iterator[Text]:
    """A line for each name, under each other what belongs together; one that is too long is cut."""
    heads = {scope: f"{scope} v{version}" for scope, version in view.versions.items()}
    head_width = max(map(len, heads.values()), default=0)
    names = [plain(name) for shown in values.values() for name in shown]
    name_width = min(max(map(cell_len, names), default=0), WIDEST_NAME)
    for scope, shown in values.items():
        known = None if before is None else before.get(scope, {})
        head = heads[scope]
        if not shown:
            yield _line((f"{head:<{head_width}}  ", "cyan"), ("nothing", "dim"))
        for name, value in shown.items():
            label = plain(name)
            label += " " * max(name_width - cell_len(label), 0)
            changed = known is not None and known.get(name, _NEW) != value
            yield _line((f"{head:<{head_width}}  ", "cyan"), f"{label}  ", _cell(value, changed=changed))
            head = ""


def _line(*parts: str | Text | tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _cell(value: Any, *, changed: bool) -> Text:
    if isinstance(value, Failure):
        return Text(plain(f"{value.reason} {quoted(value.message)} {value.error_id}".rstrip()), style="red")
    return Text(brief(value), style="bold yellow" if changed else "")
