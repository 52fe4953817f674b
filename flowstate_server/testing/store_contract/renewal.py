"""Leases renewed from a thread: what the commit of a renewal does, apart from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from flowstate_server.errors import LeaseLostError
from flowstate_server.model.clock import Micros
from flowstate_server.model.records import ProcessRecord
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.writes import FenceProcess
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import LEASE, PROCESS, increment, note, open_scene
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import NotProvided, StoreHarness

Renew = Callable[[str, Micros], "asyncio.Future[None]"]


@asynccontextmanager
async def renewing(store: Store) -> AsyncIterator[Renew]:
    """Renews on a thread of its own; a check of a store that can't does not apply."""
    renewal = store.renewal
    if renewal is None:
        raise NotProvided("leases are renewed by commits alone")
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:
        try:
            yield lambda process, lease: loop.run_in_executor(thread, renewal.renew, process, lease)
        finally:
            await loop.run_in_executor(thread, renewal.close)


async def process_of(store: Store) -> ProcessRecord:
    [process] = await store.read_processes()
    return process


async def check_renewal_moves_the_lease(harness: StoreHarness) -> None:
    """A renewal counts from the store's time on, and the runs of the process go on."""
    store = await harness.open()
    scene = await open_scene(store)
    async with renewing(store) as renew:
        before = await process_of(store)
        await renew(PROCESS, Micros(2 * LEASE))
        after = await process_of(store)
        assert (after.process, after.lease, after.fenced) == (PROCESS, 2 * LEASE, False)
        assert before.renew_time < after.renew_time <= await store.time()
        await scene.append(note())


async def check_renewal_of_a_fenced_process_is_refused(harness: StoreHarness) -> None:
    """A process that was fenced, or is not known, hears it from its renewal, and stays as it is."""
    store = await harness.open()
    await open_scene(store)
    async with renewing(store) as renew:
        with refused(LeaseLostError):
            await renew("unknown", LEASE)
        await renew(PROCESS, LEASE)
        seen = (await process_of(store)).renew_time
        await store.commit((FenceProcess(PROCESS, seen, known_dead=True),))
        with refused(LeaseLostError):
            await renew(PROCESS, LEASE)
    process = await process_of(store)
    assert (process.fenced, process.renew_time) == (True, seen)


async def check_renewal_spoils_a_judgement(harness: StoreHarness) -> None:
    """A process that was renewed from its thread since it was judged is not fenced."""
    store = await harness.open()
    scene = await open_scene(store)
    seen = (await process_of(store)).renew_time
    async with renewing(store) as renew:
        await renew(PROCESS, Micros(0))
        with refused(LeaseLostError):
            await store.commit((FenceProcess(PROCESS, seen),))
        await scene.append(note())


async def check_renewal_beside_commits(harness: StoreHarness) -> None:
    """Renewals and commits at once all succeed."""
    store = await harness.open()
    await open_scene(store)
    async with renewing(store) as renew:
        commits = [store.commit((increment(user_scope("ada")),)) for _ in range(40)]
        renewals = [renew(PROCESS, LEASE) for _ in range(10)]
        results = await asyncio.gather(*commits)
        await asyncio.gather(*renewals)
    assert max(result.results[0].version for result in results) == 40
    assert (await process_of(store)).expire_time > await store.time()
