"""Every check of the conformance suite on every adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowstate_server.testing.store_contract import Check, NotProvided, all_checks
from tests.stores.adapters import ADAPTERS


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.__name__.removeprefix("check_"))
async def test_store_keeps_the_contract(check: Check, adapter: str, tmp_path: Path) -> None:
    async with ADAPTERS[adapter](tmp_path) as harness:
        try:
            await check(harness)
        except NotProvided as reason:
            pytest.skip(str(reason))
