"""Bringing a database up to date: numbered SQL files, forward only, in one transaction."""

from __future__ import annotations

from typing import Any

from flowstate_server.errors import StoreOpenError
from flowstate_server.stores.postgres.connections import BEGIN, Connections
from flowstate_server.stores.postgres.statements import columns, unnested
from flowstate_server.stores.tables import labels
from flowstate_server.stores.tables.migrations import FILLED_BY_CODE, migrations_after

OLDEST_POSTGRES = 15
"""The oldest one that the tests run on."""
LOCK = 0x464C5354
"""The advisory lock of whoever migrates, held until its transaction ends: behind a pooler nothing lasts longer."""
MIGRATE_SECONDS = 600.0
"""For each statement: a new index on a large table takes minutes, and nothing is served before."""

_TABLES = (
    "SELECT count(*), to_regclass('flowstate.migrations')::text FROM pg_tables WHERE schemaname = 'flowstate'"
)
_CREATE = (
    "CREATE TABLE flowstate.migrations (number integer PRIMARY KEY, time timestamptz NOT NULL DEFAULT now())"
)


async def migrate(connections: Connections, shown: str, *, create: bool, update: bool) -> None:
    """Create the schema, or ``update`` it; ``shown`` names the database in messages. Other errors are the driver's.

    Raises:
        StoreOpenError: the database is not FlowState's, or newer than this version of it, or has no tables and is not
            to get any, or Postgres is too old.
    """
    async with connections.working() as connection:
        await _check_server(connection, shown)
        found = await _version(connection, shown)
        if not found and not create:
            raise StoreOpenError(problem=f"there is no store at {shown}")
        if migrations_after(found, __package__, shown) and (update or not found):
            try:
                await connection.execute(
                    f"{BEGIN}; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})",
                    timeout=MIGRATE_SECONDS,
                )
                await _apply(connection, shown)
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")


async def _check_server(connection: Any, shown: str) -> None:
    row = await connection.fetchrow(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding')"
    )
    version, encoding = row
    if version < OLDEST_POSTGRES:
        raise StoreOpenError(problem=f"{shown} is PostgreSQL {version}, {OLDEST_POSTGRES} is needed")
    if encoding != "UTF8":
        raise StoreOpenError(problem=f"{shown} has the encoding {encoding}, UTF8 is needed")


async def _version(connection: Any, shown: str) -> int:
    """The number of the newest migration applied, 0 for a database without FlowState's tables."""
    tables, migrations = await connection.fetchrow(_TABLES)
    if migrations is None:
        if tables:
            raise StoreOpenError(problem=f"{shown} has a schema flowstate that is not FlowState's")
        return 0
    found = await connection.fetchval("SELECT coalesce(max(number), 0) FROM flowstate.migrations")
    return int(found)


async def _apply(connection: Any, shown: str) -> None:
    found = await _version(connection, shown)  # another process may have been first
    if found == 0:
        if await connection.fetchval("SELECT to_regnamespace('flowstate') IS NULL"):
            await connection.execute("CREATE SCHEMA flowstate")
        await connection.execute(_CREATE)
    for number, migration in migrations_after(found, __package__, shown):
        await connection.execute(migration, timeout=MIGRATE_SECONDS)
        if FILLED_BY_CODE in migration:
            await _fill_labels(connection)
        await connection.execute(f"INSERT INTO flowstate.migrations (number) VALUES ({number})")


async def _fill_labels(connection: Any) -> None:
    """They are digests of canonical JSON, which SQL does not know."""
    log = 0
    rows = unnested(1, labels.COLUMNS, "new")
    insert = f"INSERT INTO flowstate.session_labels ({labels.COLUMNS}) SELECT * FROM {rows}"
    while found := await connection.fetch(labels.LABELLED, log, labels.AT_ONCE, timeout=MIGRATE_SECONDS):
        new = labels.labels_of([tuple(row) for row in found])
        await connection.execute(insert, *columns(new, labels.WIDTH), timeout=MIGRATE_SECONDS)
        log = found[-1][-1]
