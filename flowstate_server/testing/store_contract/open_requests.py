"""Open requests: queued and suspended ones have not ended."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import LeaseLostError, RequestTerminalError
from flowstate_server.model.clock import Micros
from flowstate_server.model.gates import gate_text
from flowstate_server.model.records import RequestRecord, RequestStatus
from flowstate_server.stores.contract.tables import REQUESTS
from flowstate_server.stores.contract.writes import FenceProcess, RenewLease, RequestCancel, RequireRun
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    Scene,
    events_of,
    finish,
    item_done,
    new_request,
    note,
    open_scene,
    request_of,
    take_over,
)
from flowstate_server.testing.store_contract.expectations import refused
from flowstate_server.testing.store_contract.harness import StoreHarness

GATE = gate_text("chat", "say", "session", "session-1")


async def _queued(store: Store, scene: Scene, request_id: str = "queued") -> RequestRecord:
    create = replace(
        new_request(scene.session, request_id, process=""),
        status=RequestStatus.QUEUED,
        gate=GATE,
        timeout=Micros(5),
        trace="trace",
        correlation_id="correlation",
    )
    await store.commit((create,))
    return await request_of(store, create.key)


async def _suspended(store: Store, scene: Scene) -> RequestRecord:
    other = await open_scene(store, request_id="suspended")
    await other.append(item_done("of suspended"), note(transient=True))
    request = await request_of(store, other.request)
    head = replace(request.head, status=RequestStatus.SUSPENDED, attempt=3)
    await take_over(store, REQUESTS, (replace(request, head=head),))
    return await request_of(store, other.request)


async def check_queued_request_is_kept_as_created(harness: StoreHarness) -> None:
    """A queued request has no process, needs no lease, and keeps its gate, limit, trace and correlation id."""
    store = await harness.open()
    request = await _queued(store, await open_scene(store))
    head = request.head
    assert (head.status, head.process, head.attempt) == (RequestStatus.QUEUED, "", 0)
    assert (head.gate, request.timeout) == (GATE, 5)
    assert (request.trace, request.correlation_id) == ("trace", "correlation")
    with refused(LeaseLostError):
        await store.commit((RequireRun(request.key, PROCESS),))


async def check_open_requests_are_active(harness: StoreHarness) -> None:
    """Queued, running and suspended requests are all active in a projection; ended ones are not."""
    store = await harness.open()
    scene = await open_scene(store)
    wanted = {scene.request, (await _queued(store, scene)).key, (await _suspended(store, scene)).key}
    ended = await open_scene(store, request_id="ended")
    await ended.finish()
    projection = await store.read_projection(scene.session, ())
    assert projection is not None
    assert {head.key for head in projection.active} == wanted
    assert {head.status for head in projection.active} == {
        RequestStatus.QUEUED,
        RequestStatus.IN_PROGRESS,
        RequestStatus.SUSPENDED,
    }
    assert projection.head.turns == 1


async def check_open_requests_are_no_turns(harness: StoreHarness) -> None:
    """Items of a suspended request are no history, and its transient events are not swept."""
    store = await harness.open()
    scene = await open_scene(store)
    suspended = await _suspended(store, scene)
    assert list(await store.read_turns(scene.session, "log-session-1", newest=10)) == []
    assert await store.sweep_transient_events(retention=Micros(0), limit=10) == 0
    assert len(await events_of(store, suspended.key)) == 2
    page = await store.read_events(suspended.key, after=0, limit=10, max_bytes=1 << 20)
    assert page is not None
    assert not page.head.ended


async def check_what_a_process_runs_is_in_progress(harness: StoreHarness) -> None:
    """Neither a queued nor a suspended request is run by anyone, nor keeps a fenced process from being swept."""
    store = await harness.open()
    scene = await open_scene(store)
    await _queued(store, scene)
    suspended = await _suspended(store, scene)
    await store.commit((RequestCancel(suspended.key, "why"), RequestCancel(scene.request, "why")))
    assert [request.key for request in await store.read_running(PROCESS, limit=10)] == [scene.request]
    assert [head.key for head in await store.read_cancelled(PROCESS)] == [scene.request]
    assert list(await store.read_running("", limit=10)) == []
    with refused(LeaseLostError):
        await store.commit((RequireRun(suspended.key, PROCESS),))
    await scene.finish()
    assert list(await store.read_running(PROCESS, limit=10)) == []
    renewed = await store.commit((RenewLease(PROCESS, Micros(0)),))
    await store.commit((FenceProcess(PROCESS, renewed.time),))
    assert await store.sweep_processes(limit=10) == 1


async def check_queued_request_can_end(harness: StoreHarness) -> None:
    """A queued request ends in one commit like any other, with the reason."""
    store = await harness.open()
    scene = await open_scene(store)
    queued = await _queued(store, scene)
    end = replace(finish(queued.key, queued.scopes, status=RequestStatus.ABORTED), reason="not wanted")
    await store.commit((end,))
    ended = await request_of(store, queued.key)
    assert (ended.head.status, ended.reason, ended.output) == (RequestStatus.ABORTED, "not wanted", None)
    with refused(RequestTerminalError):
        await store.commit((end,))


async def check_process_known_dead_is_fenced_at_once(harness: StoreHarness) -> None:
    """A process that is known dead is fenced before its lease ends, unless it was renewed since it was judged."""
    store = await harness.open()
    scene = await open_scene(store)
    [process] = await store.read_processes()
    with refused(LeaseLostError):
        await store.commit((FenceProcess(PROCESS, process.renew_time),))
    with refused(LeaseLostError):
        await store.commit((FenceProcess(PROCESS, Micros(process.renew_time - 1), known_dead=True),))
    await store.commit((FenceProcess(PROCESS, process.renew_time, known_dead=True),))
    with refused(LeaseLostError):
        await scene.append(note())
