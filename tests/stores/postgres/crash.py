"""Makes a store behave as if its process died in the middle of a commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import Seconds
from flowstate_server.stores.postgres import PostgresStore
from flowstate_server.stores.postgres.connections import Connections
from flowstate_server.stores.postgres.group_storage import PostgresStorage


def crash_after(store: PostgresStore, statements: int) -> None:
    """The store dies right after that many more statements of its groups; 0: before the next."""
    groups = groups_of(store)
    groups._connections = _DyingConnections(groups._connections, statements)  # type: ignore[assignment]


def groups_of(store: PostgresStore) -> PostgresStorage:
    assert store._ports is not None
    groups = store._ports.groups
    assert isinstance(groups, PostgresStorage)
    return groups


class _DyingConnections:
    """What groups use of the connections."""

    def __init__(self, connections: Connections, left: int) -> None:
        self.begin = connections.begin
        self.begin_seconds = connections.begin_seconds
        self._connections = connections
        self._left = left

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Any]:
        self._check()
        async with self._connections.working() as connection:
            yield _DyingConnection(self, connection)

    @asynccontextmanager
    async def fresh(self, seconds: float) -> AsyncIterator[Any]:
        if self._left <= 0:
            raise StoreUnavailableError  # the dead don't ask
        async with self._connections.fresh(Seconds(seconds)) as connection:
            yield connection

    async def replace(self) -> None:
        pass

    def statement_done(self) -> None:
        self._left -= 1
        self._check()

    def _check(self) -> None:
        if self._left <= 0:
            for pool in (self._connections._reading, self._connections._working):
                assert pool is not None
                pool.terminate()
            raise ConnectionResetError("the process died")


class _DyingConnection:
    def __init__(self, death: _DyingConnections, connection: Any) -> None:
        self._death = death
        self._connection = connection

    async def execute(self, *arguments: Any, **options: Any) -> Any:
        answer = await self._connection.execute(*arguments, **options)
        self._death.statement_done()
        return answer

    async def fetch(self, *arguments: Any) -> Any:
        answer = await self._connection.fetch(*arguments)
        self._death.statement_done()
        return answer

    def terminate(self) -> None:
        self._connection.terminate()
