"""Leases and fencing: who may still write for a run."""

from __future__ import annotations

from flowstate_server.errors import LeaseLostError, RequestTerminalError
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventType
from flowstate_server.model.records import ProcessRecord, RequestStatus
from flowstate_server.model.scopes import user_scope
from flowstate_server.stores.contract.writes import FenceProcess, RenewLease, RequireRun
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    LEASE,
    PROCESS,
    events_of,
    finish,
    head_of,
    increment,
    note,
    open_scene,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness


async def process_row(store: Store, process: str = PROCESS) -> ProcessRecord:
    [row] = [row for row in await store.read_processes() if row.process == process]
    return row


async def expire(store: Store, process: str = PROCESS) -> ProcessRecord:
    """A lease of no length is over at once."""
    await store.commit((RenewLease(process, Micros(0)),))
    return await process_row(store, process)


async def fence(store: Store, process: str = PROCESS) -> None:
    row = await expire(store, process)
    await store.commit((FenceProcess(process, row.renew_time),))


async def check_lease_is_renewed_from_the_stores_time(harness: StoreHarness) -> None:
    """A lease counts from the store's time of its commit; only a started process renews."""
    store = await harness.open()
    assert list(await store.read_processes()) == []
    with refused(LeaseLostError):
        await store.commit((RenewLease(PROCESS, LEASE),))
    first = await store.commit((RenewLease(PROCESS, LEASE, start=True),))
    assert await process_row(store) == ProcessRecord(PROCESS, LEASE, first.time)
    second = await store.commit((RenewLease(PROCESS, Micros(LEASE + 1)),))
    assert await process_row(store) == ProcessRecord(PROCESS, Micros(LEASE + 1), second.time)
    assert second.time >= first.time


async def check_only_an_expired_process_is_fenced(harness: StoreHarness) -> None:
    """A process whose lease has not run out can't be fenced; fencing twice changes nothing."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, LEASE, start=True),))
    row = await process_row(store)
    with refused(LeaseLostError):
        await store.commit((FenceProcess(PROCESS, row.renew_time),))
    row = await expire(store)
    result = await store.commit((FenceProcess(PROCESS, row.renew_time),))
    assert result.results[0].changed
    assert (await process_row(store)).fenced
    again = await store.commit((FenceProcess(PROCESS, row.renew_time),))
    unknown = await store.commit((FenceProcess("unknown", Micros(1)),))
    assert (again.results[0].changed, unknown.results[0].changed) == (False, False)


async def check_renewal_saves_from_a_fence_judged_before(harness: StoreHarness) -> None:
    """A fence judged by an older renewal than the newest is refused."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, Micros(0), start=True),))
    seen = (await process_row(store)).renew_time
    await store.commit((RenewLease(PROCESS, Micros(0)),))
    with refused(LeaseLostError):
        await store.commit((FenceProcess(PROCESS, seen),))
    assert not (await process_row(store)).fenced


async def check_fence_and_renewal_race_to_one_end(harness: StoreHarness) -> None:
    """Of a fence and a renewal at once exactly one wins."""
    store = await harness.open()
    for number in range(10):
        process = f"process-{number}"
        await store.commit((RenewLease(process, Micros(0), start=True),))
        seen = (await process_row(store, process)).renew_time
        calls = [store.commit((FenceProcess(process, seen),)), store.commit((RenewLease(process, LEASE),))]
        answers = await settled(*(calls if number % 2 else reversed(calls)))
        assert sum(isinstance(answer, LeaseLostError) for answer in answers) == 1, answers
        fence_won = not isinstance(answers[0 if number % 2 else 1], Exception)
        assert (await process_row(store, process)).fenced is fence_won


async def check_fenced_process_never_renews(harness: StoreHarness) -> None:
    """A fenced process never holds a lease again."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, LEASE, start=True),))
    await fence(store)
    for start in (False, True):
        with refused(LeaseLostError):
            await store.commit((RenewLease(PROCESS, LEASE, start=start),))


async def check_expired_process_writes_until_it_is_fenced(harness: StoreHarness) -> None:
    """A run may write on an expired lease, but nothing at all once its process is fenced."""
    store = await harness.open()
    scene = await open_scene(store)
    await expire(store)
    await scene.append(note())
    await fence(store)
    for call in (scene.append(note()), scene.commit(increment(user_scope("ada"))), scene.finish()):
        with refused(LeaseLostError):
            await call
    assert len(await events_of(store, scene.request)) == 1
    assert not (await state_of(store, user_scope("ada"))).exists
    assert (await head_of(store, scene.request)).status is RequestStatus.IN_PROGRESS


async def check_run_belongs_to_its_process(harness: StoreHarness) -> None:
    """Only the process that runs a request commits for its run."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((RenewLease("process-2", LEASE, start=True),))
    await scene.commit()
    for process in ("process-2", "unknown"):
        with refused(LeaseLostError):
            await store.commit((RequireRun(scene.request, process),))


async def check_sweep_ends_what_a_fenced_process_ran(harness: StoreHarness) -> None:
    """A sweep ends a request only if its own process is fenced, and once."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((RenewLease("process-2", LEASE, start=True),))
    sweep = finish(scene.request, scene.scopes, status=RequestStatus.INTERRUPTED, swept=PROCESS)
    with refused(LeaseLostError):
        await store.commit((sweep,))
    await expire(store)
    with refused(LeaseLostError):
        await store.commit((sweep,))
    await fence(store)
    await fence(store, "process-2")
    foreign = finish(scene.request, scene.scopes, status=RequestStatus.INTERRUPTED, swept="process-2")
    with refused(LeaseLostError):
        await store.commit((foreign,))
    await store.commit((sweep,))
    head = await head_of(store, scene.request)
    assert (head.status, head.process) == (RequestStatus.INTERRUPTED, PROCESS)
    [end] = await events_of(store, scene.request)
    assert end.event.type is EventType.REQUEST_INTERRUPTED
    with refused(RequestTerminalError, request_id="request-1"):
        await store.commit((sweep,))


async def check_sweeps_race_to_one_end(harness: StoreHarness) -> None:
    """Several sweeps and a late run at once end a request once."""
    store = await harness.open()
    scene = await open_scene(store)
    await fence(store)
    sweep = finish(scene.request, scene.scopes, status=RequestStatus.INTERRUPTED, swept=PROCESS)
    answers = await settled(store.commit((sweep,)), store.commit((sweep,)), scene.finish())
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert len(await events_of(store, scene.request)) == 1


async def check_fence_and_commit_of_two_handles_race_to_one_end(harness: StoreHarness) -> None:
    """Whatever a run got acknowledged came before the fence, so that the sweep's end is the log's last event."""
    one, other = await harness.open(), await harness.open()
    for number in range(10):
        process = f"process-{number}"
        scene = await open_scene(one, request_id=f"request-{number}", process=process)
        row = await expire(one, process)
        run = RequireRun(scene.request, process)
        answers = await settled(
            *(one.commit((run, increment(user_scope("ada"), request=scene.request))) for _ in range(5)),
            other.commit((FenceProcess(process, row.renew_time),)),
        )
        assert not isinstance(answers[-1], Exception)
        sweep = finish(scene.request, scene.scopes, status=RequestStatus.INTERRUPTED, swept=process)
        await other.commit((sweep,))
        for answer in answers[:-1]:
            assert not isinstance(answer, Exception) or isinstance(answer, LeaseLostError), answer
        with refused(LeaseLostError):
            await one.commit((run,))
        with refused(RequestTerminalError):
            await one.commit((RequireRun(scene.request, None),))


async def check_fenced_rows_stay_while_they_run_a_request(harness: StoreHarness) -> None:
    """The row of a fenced process goes only when it runs no request in progress."""
    store = await harness.open()
    scene = await open_scene(store)
    await store.commit((RenewLease("idle", LEASE, start=True), RenewLease("alive", LEASE, start=True)))
    await fence(store)
    await fence(store, "idle")
    assert await store.sweep_processes(limit=10) == 1
    assert {row.process for row in await store.read_processes()} == {PROCESS, "alive"}
    sweep = finish(scene.request, scene.scopes, status=RequestStatus.INTERRUPTED, swept=PROCESS)
    await store.commit((sweep,))
    assert await store.sweep_processes(limit=10) == 1
    assert {row.process for row in await store.read_processes()} == {"alive"}
    assert await store.sweep_processes(limit=10) == 0


async def check_sweep_of_processes_is_bounded(harness: StoreHarness) -> None:
    """A sweep of processes deletes as many rows as asked for."""
    store = await harness.open()
    for number in range(3):
        await store.commit((RenewLease(f"process-{number}", LEASE, start=True),))
        await fence(store, f"process-{number}")
    assert [await store.sweep_processes(limit=2) for _ in range(3)] == [2, 1, 0]
