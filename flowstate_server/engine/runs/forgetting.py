"""Forgets user and org records some time after they were deleted."""

from __future__ import annotations

import asyncio

from flowstate_server.model.clock import Micros
from flowstate_server.model.tombstones import deleted_state, deleted_states
from flowstate_server.stores.contract.tombstone_writes import ForgetState
from flowstate_server.stores.store import Store


async def forget_deleted(store: Store, retention: Micros, *, limit: int) -> int:
    """Forget up to ``limit`` tombstones that were made over ``retention`` ago; returns how many went."""
    found = await store.read_documents(deleted_states(limit))
    if not found:
        return 0
    due = await store.time() - retention
    over = [deleted for document in found if (deleted := deleted_state(document)).delete_time <= due]
    await asyncio.gather(*[store.commit((ForgetState(deleted),)) for deleted in over])
    return len(over)
