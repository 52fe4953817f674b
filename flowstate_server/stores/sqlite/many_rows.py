"""One statement for many rows.

``executemany`` steps once for each row, and each step hands the interpreter's lock to the event loop and waits to get
it back: for the few rows of a group that waiting is most of the cost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain

from flowstate_server.stores.tables.changes import Write
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


class EachRow(ManyRows):
    """A statement for one row, run once for each: of several columns ``IN`` compares only the first by an index."""

    def run(self, cursor: sqlite3.Cursor, rows: Sequence[Row]) -> None:
        cursor.executemany(self._text, rows)

    def text(self, count: int, width: int) -> str:
        return self._text


def _in_parts(rows: Sequence[Row]) -> Sequence[Sequence[Row]]:
    if len(rows) <= MOST_ROWS:
        return (rows,) if rows else ()
    return [rows[start : start + MOST_ROWS] for start in range(0, len(rows), MOST_ROWS)]


def many_rows(write: Write) -> ManyRows:
    """The statement for rows of ``write``."""
    # OR FAIL: a group that fails is rolled back as a whole, so SQLite need not keep what a single statement would undo.
    if write.kind == "new":
        return ManyRows(f"INSERT OR FAIL INTO {write.table} ({write.columns}) VALUES {{rows}}")
    if write.kind == "removed" and "," in write.key:
        this = " AND ".join(f"{name} = ?" for name in write.key.split(", "))
        return EachRow(f"DELETE FROM {write.table} WHERE {this}")
    if write.kind == "removed":
        return ManyRows(f"DELETE FROM {write.table} WHERE {write.key} IN (VALUES {{rows}})")
    given = {name: f"new.column{number}" for number, name in enumerate(write.columns.split(", "), start=1)}
    same = [f"{name} = {given.pop(name)}" for name in write.key.split(", ")]
    if write.noted:
        given[write.noted] = f"{write.noted} | {given[write.noted]}"
    changes = ", ".join(f"{name} = {value}" for name, value in given.items())
    source = "FROM (VALUES {rows}) AS new"
    return ManyRows(f"UPDATE OR FAIL {write.table} SET {changes} {source} WHERE {' AND '.join(same)}")
