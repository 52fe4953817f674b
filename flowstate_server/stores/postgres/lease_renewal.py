"""Renewing a lease from a thread, on a connection of its own in an event loop of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from flowstate_server.errors import LeaseLostError, StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.stores.contract.backend import Conflict, LeaseRenewal
from flowstate_server.stores.postgres.connections import Connections, let_go
from flowstate_server.stores.postgres.driver_errors import DRIVER_ERRORS, translating
from flowstate_server.stores.postgres.statements import TIME
from flowstate_server.stores.postgres.store_clock import StoreClock

RENEW_SECONDS = 6.0
"""For all of it: longer than a group of a blocked event loop, which Postgres ends, may hold the process's row."""
FOUND_SECONDS = 1.0
"""In which a connection that lives answers a BEGIN."""

RENEW = (
    f"UPDATE flowstate.processes SET lease = $2, renew_time = greatest($3, ({TIME}))"
    " WHERE process = $1 AND NOT fenced RETURNING 1"
)


class PostgresLeaseRenewal(LeaseRenewal):
    def __init__(self, connections: Connections, clock: StoreClock) -> None:
        self._connections = connections
        self._clock = clock
        self._runner = asyncio.Runner()
        self._connection: Any = None

    def renew(self, process: str, lease: Micros) -> None:
        try:
            with translating():
                renewed = self._runner.run(self._renew(process, lease))
        except Conflict:
            raise StoreUnavailableError from None
        if not renewed:
            raise LeaseLostError

    def close(self) -> None:
        self._let_go()
        self._runner.close()

    async def _renew(self, process: str, lease: Micros) -> bool:
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                connection = await self._begun()
                found = await connection.fetch(RENEW, process, lease, self._clock.latest)
                await connection.execute("COMMIT")
        except BaseException:
            self._let_go()
            raise
        return bool(found)

    async def _begun(self) -> Any:
        """A connection in a transaction: the one that was kept, if it lives."""
        begin = self._connections.begin
        if self._connection is not None:
            try:
                await self._connection.execute(begin, timeout=FOUND_SECONDS)
                return self._connection
            except DRIVER_ERRORS:
                self._let_go()
        self._connection = await self._connections.connect(RENEW_SECONDS)
        await self._connection.execute(begin)
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            let_go(connection)
