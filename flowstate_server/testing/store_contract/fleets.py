"""Fleets: what processes record of their flows, and that of two which record and look one sees the other."""

from __future__ import annotations

import asyncio

from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.recorded_flows import (
    RecordedFlow,
    declarations_range,
    decode_served,
    encode_served,
    recorded_flow,
    served_key,
)
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.contract.writes import RenewLease
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.harness import StoreHarness

ROUNDS = 10
LIFETIME = Micros(60 * SECOND)


async def _record(store: Store, process: str, *flows: RecordedFlow) -> None:
    puts = [PutDocument(flow.key, b"{}", lifetime=LIFETIME) for flow in flows]
    await store.commit((*puts, PutDocument(served_key(process), encode_served(flows), lifetime=LIFETIME)))


async def check_of_two_that_record_and_look_one_sees_the_other(harness: StoreHarness) -> None:
    """Each takes a lease, records what it serves, and looks who else has: never do both see nobody."""
    handles = [await harness.open(), await harness.open()]

    async def begin(store: Store, process: str) -> set[str]:
        await store.commit((RenewLease(process, LIFETIME, start=True),))
        await _record(store, process, RecordedFlow("chat", "same"), RecordedFlow(process, "own"))
        leased = [one.process for one in await store.leased()]
        served = await store.load_documents([served_key(one) for one in leased])
        return {key.name[0] for key, document in served.items() if decode_served(document)}

    for number in range(ROUNDS):
        names = [f"process-{number}-{side}" for side in "ab"]
        seen = await asyncio.gather(*map(begin, handles, names))
        assert names[0] in seen[1] or names[1] in seen[0]


async def check_declaration_is_kept_once_and_confirmed(harness: StoreHarness) -> None:
    """A declaration of several processes is one document, listed by flow; each confirmation lengthens its life."""
    store = await harness.open()
    chat, admin = RecordedFlow("chat", "a1"), RecordedFlow("admin", "b2")
    await _record(store, "process-1", chat)
    (first,) = await store.read_documents(declarations_range(limit=10))
    await _record(store, "process-2", chat, admin)
    found = await store.read_documents(declarations_range(limit=10))
    assert [recorded_flow(document.key) for document in found] == [admin, chat]
    assert found[1].expire_time > first.expire_time
    beyond = await store.read_documents(declarations_range(limit=10, beyond=found[0].key))
    assert [document.key for document in beyond] == [chat.key]
