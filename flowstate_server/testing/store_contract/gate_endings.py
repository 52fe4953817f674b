"""Requests with a gate that end: however they do, the next one is let in by the same commit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flowstate_server.errors import LeaseLostError, RequestTerminalError
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventType
from flowstate_server.model.gates import Gate, Policy, gate_text
from flowstate_server.model.records import RequestHead, RequestStatus
from flowstate_server.model.scopes import request_scope
from flowstate_server.stores.contract.deletion_writes import DeleteSession
from flowstate_server.stores.contract.writes import FenceProcess, RenewLease, RequestCancel
from flowstate_server.testing.store_contract.builders import (
    PROCESS,
    finish,
    head_of,
    new_session,
    put,
    request_of,
    state_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.gates import (
    GATE,
    OTHER,
    begin,
    beginning,
    come,
    coming,
    end,
    gate_of,
    key_of,
    prepare,
    turns,
    types_of,
    who_is_timed,
    whose_turn,
)
from flowstate_server.testing.store_contract.harness import StoreHarness


async def check_gate_goes_on_however_a_request_ends(harness: StoreHarness) -> None:
    """The commit that ends a request, in whatever way and whether or not it names the gate, lets the next one in."""
    store = await harness.open()
    await prepare(store, "session-1", "session-2")
    await store.commit(coming("a", session_id="session-2", process=OTHER))
    await come(store, "b", "c", "d", "e", "f")
    await store.commit((DeleteSession(new_session("session-2").key),))
    assert await whose_turn(store) == ["b"]
    await begin(store, "b", OTHER)
    renewed = await store.commit((RenewLease(OTHER, Micros(0)),))
    await store.commit((FenceProcess(OTHER, renewed.time),))
    record = await request_of(store, key_of("b"))
    swept = finish(record.key, record.scopes, status=RequestStatus.INTERRUPTED, swept=OTHER)
    await store.commit((swept,))
    assert await whose_turn(store) == ["c"]
    await store.commit((RequestCancel(key_of("c"), "not wanted"),))  # which has its turn
    assert await whose_turn(store) == ["d"]
    record = await request_of(store, key_of("d"))
    outdated = replace(finish(record.key, record.scopes, status=RequestStatus.FAILED), unbegun=True)
    await store.commit((outdated,))
    assert await whose_turn(store) == ["e"]
    await begin(store, "e")
    await end(store, "e", gate="")
    assert await whose_turn(store) == ["f"]
    await store.commit((DeleteSession(new_session().key),))
    assert (await gate_of(store), await turns(store), await who_is_timed(store)) == (None, [], [])


async def check_queued_request_is_cancelled_in_that_commit(harness: StoreHarness) -> None:
    """A queued request that is cancelled has ended, with its reason and its scope gone; the others keep their order."""
    store = await harness.open()
    await prepare(store)
    await come(store, "a", "b", "c", "d")
    scope = request_scope(key_of("c"))
    await store.commit((put(scope, {"n": 1}),))
    record = await request_of(store, key_of("c"))
    await store.commit((RequestCancel(record.key, "not wanted", record.scopes, GATE),))
    ended = await request_of(store, record.key)
    assert (ended.head.status, ended.reason) == (RequestStatus.ABORTED, "not wanted")
    assert (ended.head.cancel_requested, ended.head.attempt) == (True, 0)
    assert not (await state_of(store, scope)).exists
    assert await types_of(store, "c") == [EventType.REQUEST_QUEUED, EventType.REQUEST_ABORTED]
    gate = await gate_of(store)
    assert gate is not None
    assert [one.request_id for one in gate.waiting] == await who_is_timed(store) == ["b", "d"]
    again = await store.commit((RequestCancel(record.key, "again"),))
    assert not again.results[0].changed
    await store.commit((RequestCancel(key_of("a"), "stop"),))  # which runs: it is asked
    assert (await head_of(store, key_of("a"))).status is RequestStatus.IN_PROGRESS


async def check_ending_what_has_begun_as_unbegun_is_refused(harness: StoreHarness) -> None:
    """Who ends a request because it has not begun does not end one that has, nor one that ended."""
    store = await harness.open()
    await prepare(store)
    await come(store, "a")
    unbegun = replace(finish(key_of("a"), status=RequestStatus.FAILED), unbegun=True, gate=GATE)
    with refused(LeaseLostError):
        await store.commit((unbegun,))
    await end(store, "a")
    with refused(RequestTerminalError):
        await store.commit((unbegun,))


async def check_newest_request_interrupts(harness: StoreHarness) -> None:
    """One that interrupts has the running one asked to cancel and ends all that wait, in whatever sessions."""
    store = await harness.open()
    await prepare(store, "session-1", "session-2")
    await come(store, "a")
    await store.commit(coming("b", session_id="session-2"))
    await come(store, "c", policy=Policy.INTERRUPT)
    await come(store, "d", policy=Policy.INTERRUPT)
    heads: list[RequestHead] = [await head_of(store, key_of(name)) for name in "abcd"]
    assert [head.status for head in heads] == [
        RequestStatus.IN_PROGRESS,
        RequestStatus.ABORTED,
        RequestStatus.ABORTED,
        RequestStatus.QUEUED,
    ]
    assert [head.cancel_requested for head in heads] == [True, False, False, False]
    assert [head.key for head in await store.read_cancelled(PROCESS)] == [key_of("a")]
    assert await types_of(store, "b") == [EventType.REQUEST_QUEUED, EventType.REQUEST_ABORTED]
    await end(store, "a")
    assert await whose_turn(store) == await who_is_timed(store) == ["d"]
    await come(store, "e", policy=Policy.INTERRUPT)  # in the place of one that nobody has begun
    assert (await head_of(store, key_of("d"))).status is RequestStatus.ABORTED
    assert (await head_of(store, key_of("e"))).status is RequestStatus.IN_PROGRESS
    assert (await gate_of(store), await turns(store), await who_is_timed(store)) == (Gate("e"), [], [])


async def check_interrupting_at_once_leaves_one(harness: StoreHarness) -> None:
    """Of requests that interrupt each other through two handles one runs, one waits, and the others have ended."""
    one, other = await harness.open(), await harness.open()
    await prepare(one)
    await come(one, "running")
    names = [f"request-{number}" for number in range(8)]
    await asyncio.gather(
        *((one, other)[n % 2].commit(coming(name, policy=Policy.INTERRUPT)) for n, name in enumerate(names))
    )
    statuses = [(await head_of(other, key_of(name))).status for name in names]
    assert statuses.count(RequestStatus.QUEUED) == 1
    assert statuses.count(RequestStatus.ABORTED) == len(names) - 1
    waiting = names[statuses.index(RequestStatus.QUEUED)]
    await end(one, "running")
    assert await whose_turn(other) == [waiting]


async def check_dying_at_a_gate_leaves_it_whole(harness: StoreHarness) -> None:
    """A process that dies while it ends or begins a request leaves all at the gate as it was, or as it is to be."""
    store = await harness.open()
    await prepare(store)
    for statements in range(100):
        gate = gate_text("chat", "say", "user", str(statements))
        first, second = f"first-{statements}", f"second-{statements}"
        await come(store, first, second, gate=gate)
        harness.crash_after(store, statements)
        [ended] = await settled(end(store, first, gate=gate))
        begun: object = ended
        if not isinstance(ended, Exception):
            [turn] = [one for one in await turns(store) if one.request == key_of(second)]
            [begun] = await settled(store.commit((beginning(turn, gate=gate),)))
        store = await harness.reopen(store)
        over = (await head_of(store, key_of(first))).status.ended
        head = await head_of(store, key_of(second))
        holder = await gate_of(store, gate)
        assert holder is not None
        assert holder.holder == (second if over else first)
        has_turn = second in await whose_turn(store)
        assert has_turn == (over and head.status is RequestStatus.QUEUED)
        assert (head.status is RequestStatus.IN_PROGRESS) <= over
        if not isinstance(begun, Exception):
            assert head.status is RequestStatus.IN_PROGRESS
            return
    raise AssertionError("the request was never begun")
