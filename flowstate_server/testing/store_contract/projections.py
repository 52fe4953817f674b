"""Consistent reads: no writer shows between the parts."""

from __future__ import annotations

import asyncio

from flowstate_server.model.scopes import org_scope, request_scope, session_scope, user_scope
from flowstate_server.stores.contract.writes import AppendEvents
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    Scene,
    finish,
    head_of,
    increment,
    new_request,
    note,
    number,
    open_scene,
    put,
)
from flowstate_server.testing.store_contract.harness import StoreHarness


async def check_projection_has_all_that_is_asked_for(harness: StoreHarness) -> None:
    """A projection has the session, its head, the states asked for and the requests in progress."""
    store = await harness.open()
    one = await open_scene(store, request_id="one")
    other = await open_scene(store, request_id="other")
    await open_scene(store, "session-2", "elsewhere")
    await store.commit((put(user_scope("ada"), {"a": 1}),))
    scopes = (user_scope("ada"), org_scope("acme"), session_scope(one.session))
    projection = await store.read_projection(one.session, scopes)
    assert projection is not None
    assert projection.session == await store.get_session(one.session)
    assert (projection.head.key, projection.head.log_id) == (one.session, "log-session-1")
    assert (projection.head.sequence, projection.head.turns) == (0, 0)
    assert set(projection.states) == set(scopes)
    assert projection.states[user_scope("ada")].state == {"a": 1}
    assert not projection.states[org_scope("acme")].exists
    assert projection.states[org_scope("acme")].key == org_scope("acme")
    active = {head.key: head for head in projection.active}
    assert active == {scene.request: await head_of(store, scene.request) for scene in (one, other)}
    assert projection.time <= await store.time()


async def check_projection_is_one_read(harness: StoreHarness) -> None:
    """No commit shows in a part of a projection, or of a load of several states, and not in the rest."""
    store = await harness.open()
    await _read_while_writing(await open_scene(store), store)


async def check_projection_is_one_read_while_another_handle_writes(harness: StoreHarness) -> None:
    """The same while the writer is another handle."""
    writer, reader = await harness.open(), await harness.open()
    await _read_while_writing(await open_scene(writer), reader)


async def _read_while_writing(scene: Scene, reader: Store) -> None:
    """Each commit moves two states, the log, the turns and the one active request together."""
    user, session = user_scope("ada"), session_scope(scene.session)
    rounds = 60
    done = asyncio.Event()

    async def write() -> None:
        request = scene.request
        for turn in range(1, rounds + 1):
            create = new_request(scene.session, f"next-{turn}")
            await scene.store.commit(
                (
                    increment(user),
                    increment(session),
                    AppendEvents(scene.session, (note(),)),
                    finish(request),
                    create,
                )
            )
            request = create.key
        done.set()

    async def read() -> None:
        last = 0
        while True:
            over = done.is_set()
            projection = await reader.read_projection(scene.session, (user, session))
            assert projection is not None
            turns = projection.head.turns
            assert turns >= last
            assert number(projection.states[user]) == number(projection.states[session]) == turns
            assert projection.head.sequence == 2 * turns
            wanted = f"next-{turns}" if turns else "request-1"
            assert [head.key.request_id for head in projection.active] == [wanted]
            states = await reader.load_states((user, session))
            assert number(states[user]) == number(states[session])
            last = turns
            if over:
                assert turns == rounds
                return
            await asyncio.sleep(0)

    async with asyncio.timeout(40), asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        tasks.create_task(read())


async def check_request_state_is_read_by_its_key_alone(harness: StoreHarness) -> None:
    """A request's state can be part of a projection."""
    store = await harness.open()
    scene = await open_scene(store)
    key = request_scope(scene.request)
    await scene.commit(increment(key))
    projection = await store.read_projection(scene.session, (key,))
    assert projection is not None
    assert projection.states[key].state == {"n": 1}
