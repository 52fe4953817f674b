"""Writes the dump of a database of the present schema, for the tests of later ones: ``python -m
tests.stores.sqlite.make_dump``. A released dump is never made again."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from flowstate_server.stores.sqlite import SqliteStore, migrations
from flowstate_server.stores.tables.migrations import migrations_of
from tests.support.filled_store import fill

SESSIONS = 12


def path(number: int) -> Path:
    return Path(__file__).parent / "dumps" / f"schema_{number}.sql"


async def dump(folder: Path) -> str:
    store = SqliteStore(folder / "store.db")
    await store.open()
    await fill(store, SESSIONS)
    await store.close()
    with closing(sqlite3.connect(folder / "store.db")) as database:
        [(version,)] = database.execute("PRAGMA user_version").fetchall()
        head = [f"PRAGMA application_id = {migrations.APPLICATION_ID};", f"PRAGMA user_version = {version};"]
        return "\n".join([*head, *database.iterdump()]) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = asyncio.run(dump(Path(folder)))
    file = path(len(migrations_of(migrations.__package__)))
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


if __name__ == "__main__":
    main()
