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
        self._text = text
        self._texts: dict[int, str] = {}

    def run(self, cursor: sqlite3.Cursor, rows: Sequence[Row]) -> None:
        for some in _in_parts(rows):
            cursor.execute(self.text(len(some), len(some[0])), tuple(chain.from_iterable(some)))

    def fetch(self, cursor: sqlite3.Cursor, rows: Sequence[Row]) -> list[Row]:
        """What the statement finds for all of the rows."""
        found: list[Row] = []
        for some in _in_parts(rows):
            self.run(cursor, some)
            found += cursor.fetchall()
        return found

    def insert(self, cursor: sqlite3.Cursor, rows: Sequence[Row]) -> list[int]:
        """The numbers of the new rows: each gets one more than the largest that is there."""
        numbers: list[int] = []
        for some in _in_parts(rows):
            self.run(cursor, some)
            last = cursor.lastrowid
            assert last is not None
            numbers += range(last - len(some) + 1, last + 1)
        return numbers

    def text(self, count: int, width: int) -> str:
        """The statement for ``count`` rows of ``width`` values."""
        text = self._texts.get(count)
        if text is None:
            row = f"({', '.join('?' * width)})"
            text = self._texts[count] = self._text.format(rows=", ".join([row] * count))
        return text


def _in_parts(rows: Sequence[Row]) -> Sequence[Sequence[Row]]:
    if len(rows) <= MOST_ROWS:
        return (rows,) if rows else ()
    return [rows[start : start + MOST_ROWS] for start in range(0, len(rows), MOST_ROWS)]


# OR FAIL: a group that fails is rolled back as a whole, so SQLite need not keep what a single statement would undo.


def insert(table: str, columns: str) -> ManyRows:
    """Rows of ``columns``."""
    return ManyRows(f"INSERT OR FAIL INTO {table} ({columns}) VALUES {{rows}}")


def update(table: str, columns: str, key: str, *, noted: str = "") -> ManyRows:
    """Rows of ``columns``, then of the columns of the ``key``. ``noted`` is a column between them that once it is 1
    stays so."""
    names, keys = columns.split(", "), key.split(", ")
    changes = [f"{name} = new.column{number}" for number, name in enumerate(names, start=1)]
    if noted:
        changes.append(f"{noted} = {noted} | new.column{len(changes) + 1}")
    is_key = [f"{name} = new.column{number}" for number, name in enumerate(keys, start=len(changes) + 1)]
    return ManyRows(
        f"UPDATE OR FAIL {table} SET {', '.join(changes)} FROM (VALUES {{rows}}) AS new"
        f" WHERE {' AND '.join(is_key)}"
    )


def delete(table: str, key: str) -> ManyRows:
    """Rows of the key."""
    return ManyRows(f"DELETE FROM {table} WHERE {key} IN (VALUES {{rows}})")
