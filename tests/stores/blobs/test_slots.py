"""What the conformance suite says of pieces and blobs: of the slots that ship, and of a process that dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flowstate_server.stores.blobs import BlobFolder
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.testing.store_contract import Check, all_checks
from tests.stores.blobs.harness import SlotHarness

CHECKS = [
    check
    for check in all_checks()
    if check.__module__.rpartition(".")[2] in ("pieces", "blob_heads", "blobs")
]
SLOTS: dict[str, Callable[[Path], BlobPieces | None]] = {
    "folder": lambda path: BlobFolder(path / "deep" / "blobs"),
    "memory": lambda _: None,
}


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
async def test_blobs_of_the_slot_keep_the_contract(check: Check, slot: str, tmp_path: Path) -> None:
    async with SlotHarness(SLOTS[slot](tmp_path)) as harness:
        await check(harness)
