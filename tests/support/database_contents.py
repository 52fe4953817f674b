"""All that a SQLite store holds, to prove that a call left no trace."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

HOUSEKEEPING = frozenset(("processes", "commits"))
"""Leases are renewed and wake-ups noted whatever callers do."""


def database_contents(path: Path) -> Mapping[str, Sequence[tuple[Any, ...]]]:
    """The rows of every table but those of housekeeping."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        tables = sorted(name for (name,) in names if name not in HOUSEKEEPING)
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables
        }
