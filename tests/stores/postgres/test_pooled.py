"""What a transaction pooler in between demands: nothing stays with a connection."""

from __future__ import annotations

import re

import pytest

from flowstate_server.model.clock import Micros
from flowstate_server.stores.postgres import PostgresStore, postgres_stores
from flowstate_server.testing.store_contract import Check, NotProvided, all_checks
from flowstate_server.testing.store_contract.renewal import renewing
from tests.stores.postgres.harness import PostgresHarness
from tests.stores.sqlite import batches
from tests.support.postgres_server import PostgresServer

SUBJECTS = (
    "sessions",
    "races",
    "projections",
    "sweeping",
    "cancellation",
    "idempotency",
    "ranges",
    "pieces",
    "renewal",
)
CHECKS = [check for check in all_checks() if check.__module__.rsplit(".", 1)[-1] in SUBJECTS]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
async def test_pooled_store_keeps_the_contract(check: Check) -> None:
    async with PostgresHarness(serverless=True) as harness:
        try:
            await check(harness)
        except NotProvided as reason:
            pytest.skip(str(reason))


async def test_no_state_stays_with_a_connection() -> None:
    with PostgresServer.run(log_statement="all", log_min_duration_statement="0") as server:
        store = postgres_stores(server.dsn())
        await store.open()
        await _use(store)
        await store.close()
        log = server.log
        assert "execute <unnamed>" in log
        assert "__asyncpg_stmt" not in log
        statements = re.findall(r"(?:statement|execute <unnamed>): (.*)", log)
        assert len(statements) > 20
        for statement in statements:
            assert not re.search(r"\bLISTEN\b|pg_advisory_lock|UNLISTEN|RESET ALL|\bPREPARE\b", statement)
            assert not re.search(r"\bSET (?!LOCAL)(?!\w+ = )", statement.replace("SET replaced", "")), (
                statement
            )
        assert "SELECT pg_advisory_xact_lock" in log


async def _use(store: PostgresStore) -> None:
    await store.commit(batches.start_process())
    for _ in range(5):
        await store.commit(batches.add_one())
        await store.read_projection(batches.SESSION, ())
        await store.read_processes()
    await store.sweep_documents(limit=10)
    async with renewing(store) as renew:
        await renew(batches.PROCESS, Micros(batches.LEASE))
        await renew(batches.PROCESS, Micros(batches.LEASE))
