"""What a process leaves behind when it stops."""

from __future__ import annotations

import logging

import pytest

from flowstate_server.engine.engine import Engine
from flowstate_server.flows.registry import FlowRegistry
from flowstate_server.stores.memory.store import MemoryStore


class Kept(MemoryStore):
    """Stays open when an engine closes it, as a database does for the others that use it."""

    async def close(self) -> None: ...


async def test_a_process_that_stops_is_fenced_and_swept_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Kept()
    first, second = (Engine(store, FlowRegistry()) for _ in range(2))
    await first.open()
    await first.close()
    (row,) = await store.read_processes()
    assert (row.process, row.fenced) == (first.instance_id, True)
    with caplog.at_level(logging.WARNING):
        await second.open()
        await second.sweeper.sweep()
    assert [row.process for row in await store.read_processes()] == [second.instance_id]
    # What asyncio tells of a task that an earlier test left is not about this one.
    assert [record for record in caplog.records if record.name.startswith("flowstate")] == []
    await second.close()
    await MemoryStore.close(store)
