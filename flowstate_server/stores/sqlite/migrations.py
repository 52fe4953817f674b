"""Bringing a database up to date: numbered SQL files, forward only, each in a transaction of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from flowstate_server.errors import StoreOpenError
from flowstate_server.stores.sqlite.dialect import in_sqlite
from flowstate_server.stores.sqlite.writer import in_transaction
from flowstate_server.stores.tables import labels
from flowstate_server.stores.tables.migrations import FILLED_BY_CODE, migrations_after

APPLICATION_ID = 0x464C5354
OLDEST_SQLITE = (3, 37, 0)


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Create or update the schema. The caller is the one who may write.

    Raises:
        StoreOpenError: the database is not FlowState's, or newer than this version of it.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        problem = f"SQLite {sqlite3.sqlite_version} is too old, 3.37 is needed"
        raise StoreOpenError(problem=problem)
    for number, migration in migrations_after(_version(connection, path), __package__, path):
        in_transaction(connection, partial(_apply, sql=migration, number=number))


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    """
    Raises:
        StoreOpenError: it is another program's database, or newer than this version of FlowState.
        sqlite3.Error: it is damaged, or none.
    """
    migrations_after(_version(connection, path), __package__, path)


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The number of the newest migration applied, 0 for an empty file."""
    [(application_id,)] = connection.execute("PRAGMA application_id").fetchall()
    [(version,)] = connection.execute("PRAGMA user_version").fetchall()
    [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise StoreOpenError(problem=f"{path} is another program's database")
    assert isinstance(version, int)
    return version


def _apply(cursor: sqlite3.Cursor, sql: str, number: int) -> None:
    for statement in _statements(sql):
        cursor.execute(statement)
    if FILLED_BY_CODE in sql:
        _fill_labels(cursor)
    cursor.execute(f"PRAGMA user_version = {number}")


def _fill_labels(cursor: sqlite3.Cursor) -> None:
    """They are digests of canonical JSON, which SQL does not know."""
    log = 0
    while found := cursor.execute(in_sqlite(labels.LABELLED), (log, labels.AT_ONCE)).fetchall():
        places = ", ".join("?" * labels.WIDTH)
        cursor.executemany(
            f"INSERT INTO session_labels ({labels.COLUMNS}) VALUES ({places})", labels.labels_of(found)
        )
        log = found[-1][-1]


def _statements(sql: str) -> Iterator[str]:
    """One after another: ``executescript`` would commit first."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
