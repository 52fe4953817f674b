"""One statement for many rows.

``executemany`` steps once for each row, and each step hands the interpreter's lock to the event loop and waits to get
it back: for the few rows of a group that waiting is most of the cost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain

from flowstate_server.stores.tables.numbers import Row

MOST_ROWS = 16
"""Rows a statement; so many texts of it are kept prepared."""


class ManyRows:
    """``text`` has ``{rows}`` where the rows' values go: after ``VALUES``, or in ``FROM (VALUES {rows}) AS new``, whose
    columns are ``new.column1`` and so on."""

    def __init__(self, text: str) -> None:
        # A group that fails is rolled back as a whole, so SQLite need not keep what a single statement would undo.
        self._text = text.replace("INSERT", "INSERT OR FAIL", 1).replace("UPDATE", "UPDATE OR FAIL", 1)
        self._texts: dict[int, str] = {}

    def run(self, cursor: sqlite3.Cursor, rows: Sequence[Row]) -> None:
        for start in range(0, len(rows), MOST_ROWS):
            some = rows[start : start + MOST_ROWS]
            cursor.execute(self.text(len(some), len(some[0])), tuple(chain.from_iterable(some)))

    def text(self, count: int, width: int) -> str:
        """The statement for ``count`` rows of ``width`` values."""
        text = self._texts.get(count)
        if text is None:
            row = f"({', '.join('?' * width)})"
            text = self._texts[count] = self._text.format(rows=", ".join([row] * count))
        return text
