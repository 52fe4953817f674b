"""Other versions of PostgreSQL than the one that everything else is tested on."""

from __future__ import annotations

import pytest

from flowstate_server.testing.store_contract import Check, NotProvided, all_checks
from tests.stores.postgres.harness import PostgresHarness
from tests.support.postgres_server import VERSION, available_versions

OTHERS = [version for version in (15, 16, 18) if version != VERSION]
SUBJECTS = ("races", "values", "watching", "durability", "turns", "copies", "documents", "ranges", "renewal")
CHECKS = [check for check in all_checks() if check.__module__.rsplit(".", 1)[-1] in SUBJECTS]


@pytest.mark.parametrize("version", OTHERS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
async def test_store_keeps_the_contract(check: Check, version: int) -> None:
    if version not in available_versions():  # 15 is in no wheel
        pytest.skip(f"PostgreSQL {version} is not installed")
    async with PostgresHarness(version) as harness:
        try:
            await check(harness)
        except NotProvided as reason:
            pytest.skip(str(reason))
