"""What a flow shows of a session, as a table that follows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flowstate_client import Failure, Scope, Snapshot
from flowstate_server.cli.terminal_text import plain, quoted

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
        self._live.update(Group(_headline(view), _table(view, values, self._before)), refresh=True)
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


def _table(
    view: Snapshot[Any],
    values: Mapping[Scope, Mapping[str, Any]],
    before: Mapping[Scope, Mapping[str, Any]] | None,
) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="ellipsis")
    for scope, shown in values.items():
        known = None if before is None else before.get(scope, {})
        heads = _heads(scope, view.versions[scope])
        for name, value in shown.items():
            changed = known is not None and known.get(name, _NEW) != value
            table.add_row(next(heads), Text(plain(name)), _cell(value, changed=changed))
        if not shown:
            table.add_row(next(heads), Text("nothing", style="dim"))
    return table


def _heads(scope: Scope, version: int) -> Iterator[Text]:
    yield Text.assemble(str(scope), (f" v{version}", "dim"))
    while True:
        yield Text("")


def _cell(value: Any, *, changed: bool) -> Text:
    if isinstance(value, Failure):
        return Text(f"{value.reason} {quoted(value.message)} {value.error_id}".rstrip(), style="red")
    return Text(quoted(value), style="bold yellow" if changed else "")
