"""Requests: creation, attaching, cancellation."""

from __future__ import annotations

from flowstate_server.errors import LeaseLostError, RequestAlreadyExistsError, RequestNotFoundError
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import Failure, RequestStatus
from flowstate_server.model.scopes import RequestKey, SessionKey, request_scope, session_scope, user_scope
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    FenceProcess,
    FinishRequest,
    RenewLease,
    RequestCancel,
)
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    LEASE,
    PROCESS,
    events_of,
    head_of,
    increment,
    new_request,
    new_session,
    note,
    open_scene,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

SESSION = SessionKey(NO_TENANT, "session-1")
REQUEST = RequestKey(NO_TENANT, "request-1")


async def check_request_is_kept_as_created(harness: StoreHarness) -> None:
    """A request comes back as it was created."""
    store = await harness.open()
    scene = await open_scene(store)
    request = await request_of(store, scene.request)
    head = request.head
    assert (head.key, head.session, head.session_log_id) == (scene.request, scene.session, "log-session-1")
    assert (head.log_id, head.user_id, head.fingerprint, head.process) == (
        "request-log",
        "ada",
        "print",
        PROCESS,
    )
    assert (head.status, head.sequence, head.attempt) == (RequestStatus.IN_PROGRESS, 0, 1)
    assert (head.cancel_requested, head.cancel_reason, head.end_time) == (False, "", 0)
    assert (request.flow_kind, request.action, request.org_id) == ("chat", "say", "")
    assert request.scopes == scene.scopes
    assert (request.input, request.output, request.failure) == (b'{"message":"hello"}', None, None)


async def check_unknown_request_is_none(harness: StoreHarness) -> None:
    """A request that was never created reads as absent, and so does its log."""
    store = await harness.open()
    assert await store.get_request(REQUEST) is None
    assert await store.read_events(REQUEST, after=0, limit=10, max_bytes=1000) is None


async def check_create_request_loads_the_records_its_run_starts_from(harness: StoreHarness) -> None:
    """A request is created together with a read of the states that its run starts from."""
    store = await harness.open()
    await store.commit(
        (RenewLease(PROCESS, LEASE, start=True), new_session(), put(user_scope("ada"), {"a": 1}))
    )
    load = (user_scope("ada"), session_scope(SESSION), user_scope("nobody"))
    result = await store.commit((put(session_scope(SESSION), {"b": 2}), new_request(SESSION, load=load)))
    user, session, nobody = result.results[1].states
    assert (user.key, user.version, user.state) == (load[0], 1, {"a": 1})
    assert (session.key, session.version, session.state) == (load[1], 1, {"b": 2})
    assert (nobody.key, nobody.version, nobody.exists) == (load[2], 0, False)

    anew, own = SessionKey(NO_TENANT, "session-2"), RequestKey(NO_TENANT, "request-2")
    began = await store.commit(
        (
            new_session("session-2"),
            put(session_scope(anew), {"c": 3}),
            new_request(anew, "request-2", load=(session_scope(anew),)),
            put(request_scope(own), {"d": 4}),
        )
    )
    for state in (began.results[2].states[0], await state_of(store, session_scope(anew))):
        assert (state.version, state.state) == (1, {"c": 3})
    assert (await state_of(store, request_scope(own))).state == {"d": 4}


async def check_repeated_dispatch_attaches(harness: StoreHarness) -> None:
    """A dispatch repeated by its owner attaches to the request and writes nothing of its batch."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.append(note())
    other = SessionKey(NO_TENANT, "session-2")
    again = await store.commit((new_session("session-2"), increment(user_scope("ada")), new_request(other)))
    assert again.results == ()
    assert again.attached == await head_of(store, scene.request)
    assert await store.get_session(other) is None
    assert not (await state_of(store, user_scope("ada"))).exists


async def check_repeated_dispatch_attaches_to_an_ended_request(harness: StoreHarness) -> None:
    """A repeated dispatch attaches to a request that has ended as well."""
    store = await harness.open()
    scene = await open_scene(store)
    await scene.finish(RequestStatus.INTERRUPTED)
    again = await store.commit((new_request(scene.session, process="gone"),))
    assert again.attached is not None
    assert again.attached.status is RequestStatus.INTERRUPTED


async def check_dispatch_of_another_call_under_the_same_id_is_refused(harness: StoreHarness) -> None:
    """Another owner or fingerprint under a known request id is refused and writes nothing."""
    store = await harness.open()
    scene = await open_scene(store)
    for create in (
        new_request(scene.session, fingerprint="other"),
        new_request(scene.session, user="bob"),
    ):
        with refused(RequestAlreadyExistsError, request_id="request-1"):
            await store.commit((increment(user_scope("ada")), create))
    assert not (await state_of(store, user_scope("ada"))).exists


async def check_racing_dispatches_run_once(harness: StoreHarness) -> None:
    """Of equal dispatches at once one creates the request and the others attach."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, LEASE, start=True), new_session()))
    batch = (new_request(SESSION), AppendEvents(SESSION, (note(),), REQUEST))
    answers = await settled(*(store.commit(batch) for _ in range(8)))
    assert sum(answer.attached is None for answer in answers) == 1
    assert all(answer.attached is None or answer.attached.key == REQUEST for answer in answers)
    assert len(await events_of(store, REQUEST)) == 1


async def check_dispatch_needs_a_process_that_holds_its_lease(harness: StoreHarness) -> None:
    """An unknown or fenced process can't be given a request."""
    store = await harness.open()
    await store.commit((new_session(), RenewLease("fenced", Micros(0), start=True)))
    [row] = await store.read_processes()
    await store.commit((FenceProcess("fenced", row.renew_time),))
    for process in ("unknown", "fenced"):
        with refused(LeaseLostError):
            await store.commit((new_request(SESSION, process=process),))
    assert await store.get_request(REQUEST) is None


async def check_request_created_and_ended_in_one_group(harness: StoreHarness) -> None:
    """A request may be created and ended by batches of one group."""
    store = await harness.open()
    await store.commit((RenewLease(PROCESS, LEASE, start=True), new_session()))
    failure = Failure("NO", "no", {"why": ["x", 1]}, "e1", retryable=True)
    status = RequestStatus.FAILED
    end = FinishRequest(REQUEST, status, ENDS[status], {"elapsed": 5}, (), failure=failure)
    await settled(store.commit((new_request(SESSION),)), store.commit((end,)))
    request = await request_of(store, REQUEST)
    assert (request.head.status, request.head.sequence) == (status, 1)
    assert (request.failure, request.output) == (failure, None)
    projection = await store.read_projection(SESSION, ())
    assert projection is not None
    assert projection.active == ()


async def check_cancel_is_asked_for_once(harness: StoreHarness) -> None:
    """A cancel is noted once with the first reason, shown to the owner, and gone with the request's end."""
    store = await harness.open()
    scene = await open_scene(store)
    with refused(RequestNotFoundError, request_id="unknown"):
        await store.commit((RequestCancel(RequestKey(NO_TENANT, "unknown"), "why"),))
    assert list(await store.read_cancelled(PROCESS)) == []
    first = await store.commit((RequestCancel(scene.request, "why"),))
    second = await store.commit((RequestCancel(scene.request, "again"),))
    assert (first.results[0].changed, second.results[0].changed) == (True, False)
    head = await head_of(store, scene.request)
    assert (head.cancel_requested, head.cancel_reason, head.status.ended) == (True, "why", False)
    assert list(await store.read_cancelled(PROCESS)) == [head]
    assert list(await store.read_cancelled("other")) == []
    await scene.finish(RequestStatus.ABORTED)
    assert list(await store.read_cancelled(PROCESS)) == []
    ended = await store.commit((RequestCancel(scene.request, "late"),))
    assert not ended.results[0].changed


async def check_unfinished_requests_of_a_process(harness: StoreHarness) -> None:
    """The unfinished requests of a process are its own, in progress, without inputs, up to the limit."""
    store = await harness.open()
    scenes = [await open_scene(store, request_id=f"request-{number}") for number in range(3)]
    await open_scene(store, request_id="foreign", process="process-2")
    await scenes[0].finish()
    found = await store.read_running(PROCESS, limit=10)
    assert {request.key for request in found} == {scenes[1].request, scenes[2].request}
    assert all(request.input == b"" and request.scopes == scenes[0].scopes for request in found)
    assert len(await store.read_running(PROCESS, limit=1)) == 1
    assert list(await store.read_running("unknown", limit=10)) == []
