"""A new, empty store of each kind, by its URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

ALL = ("memory", "file", "sqlite", "postgres")
DURABLE = ("file", "sqlite", "postgres")
SHARED = ("sqlite", "postgres")
"""Those that several server processes may use at once."""


@asynccontextmanager
async def new_store_url(kind: str, folder: Path) -> AsyncIterator[str]:
    """Files lie in ``folder``; a database of Postgres is dropped in the end."""
    if kind == "postgres":
        from tests.support.pgbouncer import pooled_url, wanted
        from tests.support.postgres_server import fresh_database

        async with fresh_database() as dsn:
            yield pooled_url(dsn) if wanted() else dsn
    else:
        yield {
            "memory": "memory",
            "file": f"file://{folder / 'flowstate'}",
            "sqlite": f"sqlite:///{folder / 'flowstate.db'}",
        }[kind]


NewStore = Callable[[str], Awaitable[str]]
"""Makes a store of that kind and gives its URL."""


@asynccontextmanager
async def new_stores(folder: Path) -> AsyncIterator[NewStore]:
    """For a fixture that is set up first: what it makes must outlive the servers on it."""
    async with AsyncExitStack() as stack:

        async def make(kind: str) -> str:
            return await stack.enter_async_context(new_store_url(kind, folder))

        yield make
