"""Tables and records for people on a terminal. They fit its width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Column:
    """Of a table. Where the terminal is too narrow text is ``cut``, or goes on beneath itself (``wrap``); columns that
    are to be ``whole`` become narrower only when no other can."""

    name: str
    fit: Literal["whole", "cut", "wrap"] = "whole"


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """A row for each of ``rows``, under the names of the columns. Empty columns are left out."""
    filled = list(rows)
    shown = [place for place in range(len(columns)) if any(row[place] for row in filled)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in (columns[place] for place in shown):
        table.add_column(column.name, no_wrap=column.fit == "whole", overflow="fold")
    for row in filled:
        table.add_row(*(_cell(row[place], columns[place]) for place in shown))
    _print(table)


def show_record(facts: Iterable[tuple[str, str]]) -> None:
    """A line for each fact that there is, ``name  value``; long ones go on beneath themselves."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        if value:
            table.add_row(Text(name), Text(value))
    _print(table)


def _cell(text: str, column: Column) -> Text:
    if column.fit == "cut":
        return Text(text, no_wrap=True, overflow="ellipsis")
    return Text(text, no_wrap=False, overflow="fold")


def _print(table: Table) -> None:
    console = Console(highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        print(line.rstrip())
