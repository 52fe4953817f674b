"""Who serves a store at the moment."""

from __future__ import annotations

from math import ceil

from flowstate_server.model.clock import SECOND
from flowstate_server.stores.store import Store


async def serving(store: Store) -> list[tuple[str, int]]:
    """The server processes with a lease, and the seconds until it ends; one that was killed is there until then."""
    now = await store.time()
    return [
        (record.process, ceil((record.expire_time - now) / SECOND))
        for record in await store.read_processes()
        if record.expire_time > now and not record.fenced
    ]
