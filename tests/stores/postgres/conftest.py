from collections.abc import AsyncIterator, Iterator

import pytest

from flowstate_server.stores.postgres import PostgresStore
from tests.stores.postgres.harness import migrated
from tests.support.postgres_server import PostgresServer, fresh_database


@pytest.fixture
async def dsn() -> AsyncIterator[str]:
    """The URL of a migrated database."""
    async with fresh_database(migrated) as dsn:
        yield dsn


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(dsn)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[PostgresStore]:
    """A second store on the database of the first, as in another process."""
    other = PostgresStore(dsn)
    await other.open()
    yield other
    await other.close()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server that the test may stop and restart."""
    with PostgresServer.run() as server:
        yield server
