"""Dying while something is deleted or removed: after reopening it is there with everything, or gone with everything."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey, session_owner
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import RequestKey, SessionKey, session_scope
from flowstate_server.stores.contract.deletion_writes import DeleteSession, RemoveHistory
from flowstate_server.stores.contract.document_writes import PutDocument
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    Scene,
    events_of,
    item_done,
    new_session,
    note,
    open_scene,
    put,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import settled
from flowstate_server.testing.store_contract.harness import StoreHarness

MOST_STATEMENTS = 200


def _log(session: SessionKey) -> str:
    return f"log-{session.session_id}"


async def _filled(store: Store, name: str) -> Scene:
    """A session with two turns, a state, a document and a request that runs."""
    for number in range(2):
        scene = await open_scene(store, f"session-{name}", f"ended-{name}-{number}")
        await scene.append(note(), item_done(f"item-{name}-{number}"))
        await scene.finish()
    running = await open_scene(store, f"session-{name}", f"running-{name}")
    await running.append(note())
    document = DocumentKey(session_owner(running.session, _log(running.session)), "kind", ("a",))
    await store.commit((put(session_scope(running.session), {"of": name}), PutDocument(document, b"1")))
    return running


async def check_dying_in_a_deletion_leaves_the_session_whole_or_gone(harness: StoreHarness) -> None:
    """A process that dies while it deletes a session leaves it alive with everything, or deleted with everything."""
    store = await harness.open()
    for statements in range(MOST_STATEMENTS):
        scene = await _filled(store, str(statements))
        harness.crash_after(store, statements)
        [answer] = await settled(store.commit((DeleteSession(scene.session),)))
        store = await harness.reopen(store)
        lives = await store.read_projection(scene.session, ()) is not None
        ended = RequestKey(NO_TENANT, f"ended-{statements}-1")
        for key in (scene.request, ended):
            assert (await store.get_request(key) is not None) == lives
        request = await store.get_request(scene.request)
        assert request is None or request.head.status.open
        assert (await state_of(store, session_scope(scene.session))).exists == lives
        if not isinstance(answer, Exception):
            assert not lives
            return
        assert isinstance(answer, StoreUnavailableError), answer
    raise AssertionError("the deletion was never done")


async def check_dying_in_a_removal_leaves_history_whole_or_gone(harness: StoreHarness) -> None:
    """A process that dies while it removes history leaves it as it was, or removed with everything."""
    store = await harness.open()
    for statements in range(MOST_STATEMENTS):
        scene = await _filled(store, str(statements))
        key, log_id = scene.session, _log(scene.session)
        ended = [RequestKey(NO_TENANT, f"ended-{statements}-{number}") for number in range(2)]
        turns = tuple([TurnKey(key, log_id, number) for number in (1, 2)])
        harness.crash_after(store, statements)
        [answer] = await settled(store.commit((RemoveHistory(key, log_id, 0, 6, tuple(ended), turns),)))
        store = await harness.reopen(store)
        projection = await store.read_projection(key, ())
        assert projection is not None
        gone = projection.head.floor == 6
        assert [await store.get_request(one) is None for one in ended] == [gone, gone]
        assert len(await store.read_turns(key, log_id, newest=5)) == (0 if gone else 2)
        assert (await store.read_oldest_turns(key, log_id, limit=5)).count == (0 if gone else 2)
        first = (await events_of(store, key))[0].session_sequence
        assert first == (7 if gone else 1)
        assert len(await events_of(store, scene.request)) == 1
        if not isinstance(answer, Exception):
            assert gone
            return
        assert isinstance(answer, StoreUnavailableError), answer
    raise AssertionError("the removal was never done")


async def check_dying_in_a_sweep_of_deleted_sessions(harness: StoreHarness) -> None:
    """A process that dies while it empties deleted sessions leaves a rest, which the next one sweeps alone."""
    store = await harness.open()
    for statements in range(MOST_STATEMENTS):
        scene = await _filled(store, str(statements))
        await store.commit((DeleteSession(scene.session),))
        again = replace(new_session(scene.session.session_id), log_id=f"new-{statements}", exclusive=True)
        await store.commit((again, put(session_scope(scene.session), {"of": "new"})))
        harness.crash_after(store, statements)
        [answer] = await settled(store.sweep_sessions(retention=Micros(0), limit=4))
        store = await harness.reopen(store)
        session = await store.get_session(scene.session)
        assert session is not None
        assert session.log_id == again.log_id
        assert (await state_of(store, session_scope(scene.session))).exists
        assert await store.get_request(scene.request) is None
        while await store.sweep_sessions(retention=Micros(0), limit=4):
            pass
        anew = await open_scene(store, scene.session.session_id, scene.request.request_id)
        assert await events_of(store, anew.request) == []
        if not isinstance(answer, Exception):
            return
    raise AssertionError("the sweep was never done")
