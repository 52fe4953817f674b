"""Closing, reopening, dying in the middle."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.identity import NO_TENANT, Tenant
from flowstate_server.model.records import Failure, IdempotencyKey, RequestStatus
from flowstate_server.model.scopes import ScopeKey, org_scope, session_scope, user_scope
from flowstate_server.stores.contract.reads import SessionFilter
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    DeleteState,
    FinishRequest,
    PutIdempotencyKey,
    RequestCancel,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    ENDS,
    PROCESS,
    Scene,
    events_of,
    finish,
    increment,
    item_done,
    new_request,
    new_session,
    note,
    number,
    open_scene,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

ADA, ACME = user_scope("ada"), org_scope("acme")


async def check_closed_store_refuses_commits(harness: StoreHarness) -> None:
    """A commit after close is STORE_UNAVAILABLE; closing twice is fine."""
    store = await harness.open()
    await store.commit((increment(ADA),))
    await store.close()
    with refused(StoreUnavailableError):
        await store.commit((increment(ADA),))
    await store.close()


async def check_close_answers_what_was_begun(harness: StoreHarness) -> None:
    """Every commit that was begun before close is answered."""
    store = await harness.open()
    calls = [asyncio.create_task(store.commit((increment(ADA),))) for _ in range(200)]
    await asyncio.sleep(0)
    await store.close()
    answers = await settled(*calls)
    assert [answer.results[0].version for answer in answers] == list(range(1, 201))


async def check_reopen_after_close_keeps_what_was_begun(harness: StoreHarness) -> None:
    """What close has answered is there when the data opens again."""
    store = await harness.open()
    calls = [asyncio.create_task(store.commit((increment(ADA),))) for _ in range(100)]
    await asyncio.sleep(0)
    store = await harness.reopen(store)
    assert all(not isinstance(answer, Exception) for answer in await settled(*calls))
    assert (await state_of(store, ADA)).state == {"n": 100}


async def check_reopen_keeps_everything(harness: StoreHarness) -> None:
    """Every record, log, counter and idempotency key reads the same after reopening, and goes on from there."""
    store = await harness.open()
    scenes = await _populate(store)
    before = await _everything(store, scenes)
    store = await harness.reopen(store)
    assert await _everything(store, scenes) == before
    scene = replace(scenes[0], store=store)
    await scene.append(note("after"))
    events = await events_of(store, scene.request)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    repeat = await store.commit((increment(ADA), KEY))
    assert repeat.replayed
    assert (await store.commit((new_request(scene.session),))).attached is not None
    await store.commit((increment(ADA),))
    assert (await state_of(store, ADA)).version == 3


KEY = PutIdempotencyKey(IdempotencyKey(NO_TENANT, "p", "m", "k"), "print", Micros(60_000_000))


async def _populate(store: Store) -> list[Scene]:
    running = await open_scene(store)
    ended = await open_scene(store, request_id="ended")
    failed = await open_scene(store, "session-2", "failed", tenant="tenant")
    await store.commit((put(ADA, {"n": 1}), put(ACME, {"a": 1}), DeleteState(ACME), KEY))
    await store.commit((put(ADA, {"n": 2}), put(session_scope(running.session), {"s": "ü"})))
    for scene in (running, ended, failed):
        await scene.append(note("1"), item_done("item"), note("t", transient=True))
    await store.commit((RequestCancel(running.request, "why"),))
    await ended.finish()
    status = RequestStatus.FAILED
    failure = Failure("WHY", "words", {"a": 1})
    await failed.commit(FinishRequest(failed.request, status, ENDS[status], {}, (), failure=failure))
    return [running, ended, failed]


async def _everything(store: Store, scenes: list[Scene]) -> list[object]:
    found: list[object] = [list(await store.read_processes())]
    keys: list[ScopeKey] = [ADA, ACME, *(session_scope(scene.session) for scene in scenes)]
    found.append(dict(await store.load_states(keys)))
    found += [
        list((await store.list_sessions(SessionFilter(Tenant(tenant)), limit=100)).sessions)
        for tenant in ("", "tenant")
    ]
    found.append(list(await store.read_running(PROCESS, limit=100)))
    found.append(list(await store.read_cancelled(PROCESS)))
    for scene in scenes:
        found.append(await store.get_session(scene.session))
        found.append(await store.get_request(scene.request))
        found.append(await events_of(store, scene.request))
        found.append(
            list(await store.read_turns(scene.session, f"log-{scene.session.session_id}", newest=10))
        )
        projection = await store.read_projection(scene.session, keys)
        assert projection is not None
        found.append((projection.session, projection.head, dict(projection.states), projection.active))
    return found


async def check_opening_twice_changes_nothing(harness: StoreHarness) -> None:
    """Opening the data again, and so migrating it again, changes nothing."""
    store = await harness.open()
    await store.commit((increment(ADA),))
    for _ in range(3):
        store = await harness.reopen(store)
    assert (await state_of(store, ADA)).version == 1


async def check_handles_opened_at_once_share_the_data(harness: StoreHarness) -> None:
    """Handles opened at the same moment on the same data migrate it once and see each other's commits."""
    first = await harness.open()
    stores = [first, *await asyncio.gather(*(harness.open() for _ in range(3)))]
    await asyncio.gather(*(store.commit((increment(ADA),)) for store in stores))
    for store in stores:
        assert (await state_of(store, ADA)).state == {"n": 4}


async def check_dying_at_any_statement_leaves_a_batch_whole_or_absent(harness: StoreHarness) -> None:
    """A process that dies after any statement of a commit leaves all of it or nothing; what was acknowledged stays."""
    store = await harness.open()
    scene = await open_scene(store)
    acknowledged = 0
    for statements in range(200):
        await store.commit((new_session(f"session-before-{statements}"),))
        harness.crash_after(store, statements)
        new = new_session(f"session-new-{statements}")
        batch = (new, increment(ADA), AppendEvents(scene.session, (note(),), scene.request), increment(ACME))
        [answer] = await settled(store.commit(batch))
        store = await harness.reopen(store)
        states = await store.load_states((ADA, ACME))
        count = number(states[ADA])
        assert count == number(states[ACME]) == len(await events_of(store, scene.request))
        assert (await store.get_session(new.key) is not None) == (count > acknowledged)
        if not isinstance(answer, Exception):
            assert count == acknowledged + 1
            return
        assert isinstance(answer, StoreUnavailableError), answer
        assert acknowledged <= count <= acknowledged + 1
        acknowledged = count
    raise AssertionError("the commit was never done")


async def check_dying_while_requests_end_leaves_each_whole(harness: StoreHarness) -> None:
    """A process that dies while requests end in one group leaves each running or ended, with all that belongs to it."""
    store = await harness.open()
    for statements in range(200):
        scenes = [await open_scene(store, request_id=f"{statements}-{name}") for name in "ab"]
        harness.crash_after(store, statements)
        ends = (
            scene.commit(
                increment(ADA),
                AppendEvents(scene.session, (item_done(f"item {scene.request.request_id}"),), scene.request),
                finish(scene.request, scene.scopes),
            )
            for scene in scenes
        )
        answers = await settled(*ends)
        store = await harness.reopen(store)
        for scene, answer in zip(scenes, answers, strict=True):
            ended = await _is_whole(store, scene)
            assert ended or isinstance(answer, StoreUnavailableError), answer
        if not any(isinstance(answer, Exception) for answer in answers):
            return
    raise AssertionError("the commits were never done")


async def _is_whole(store: Store, scene: Scene) -> bool:
    request = await request_of(store, scene.request)
    events = await events_of(store, scene.request)
    turns = await store.read_turns(scene.session, "log-session-1", newest=1000)
    items = [record for record in turns if record.request_id == scene.request.request_id]
    unfinished = {one.key for one in await store.read_running(PROCESS, limit=1000)}
    ended = request.head.status.ended
    assert (len(events), len(items), request.head.sequence) == ((2, 1, 2) if ended else (0, 0, 0))
    assert (request.output is not None) == ended
    assert (scene.request in unfinished) != ended
    return ended
