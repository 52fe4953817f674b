"""What turns cost the PostgreSQL under a server: CPU, WAL and connections."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.postgres_server import PostgresServer, connection

_TICKS = os.sysconf("SC_CLK_TCK")
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@dataclass
class PostgresLoad:
    """In the time of a :func:`watched` block; ``cpu_seconds`` is that of all processes, of Linux alone."""

    cpu_seconds: float = 0.0
    wal_bytes: int = 0
    connections: int = 0


@asynccontextmanager
async def watched(postgres: PostgresServer, url: str) -> AsyncIterator[PostgresLoad]:
    """Filled in at the end."""
    load = PostgresLoad()
    async with connection(url) as connected:
        wal, cpu = int(await connected.fetchval(_WAL)), _cpu_seconds(postgres.pid)
        yield load
        load.cpu_seconds = _cpu_seconds(postgres.pid) - cpu
        load.wal_bytes = int(await connected.fetchval(_WAL)) - wal
        load.connections = await connected.fetchval(_CONNECTIONS)


async def database_bytes(url: str) -> int:
    async with connection(url) as connected:
        size: int = await connected.fetchval("SELECT pg_database_size(current_database())")
        return size


def _cpu_seconds(postmaster: int) -> float:
    """Of the server's processes that are there, and of those that were."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just gone
            continue
        times = [int(field) for field in fields[11:15]]  # its own, and of those that it has waited for
        if int(path.parent.name) == postmaster:
            ticks += sum(times)
        elif int(fields[1]) == postmaster:
            ticks += sum(times[:2])
    return ticks / _TICKS
