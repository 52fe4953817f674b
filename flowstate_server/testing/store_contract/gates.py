"""Gates: one request at a time, in the order in which they came; whatever ends one lets the next one in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from flowstate_server.errors import LeaseLostError, QueueFullError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.events import EventType
from flowstate_server.model.gates import (
    Gate,
    Policy,
    Turn,
    decode_gate,
    decode_turn,
    gate_key,
    gate_text,
    patience_range,
    turns_of,
    waiting_until,
)
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.payloads import RequestInProgress, RequestQueued
from flowstate_server.model.records import RequestStatus
from flowstate_server.model.scopes import RequestKey, request_scope, session_scope
from flowstate_server.stores.contract.gate_writes import BeginRequest, EnterGate, GateTaken, TurnTaken
from flowstate_server.stores.contract.watch import Topic, TopicKind
from flowstate_server.stores.contract.writes import (
    CommitResult,
    RenewLease,
    RequireRun,
    Write,
)
from flowstate_server.stores.store import Store
from flowstate_server.testing.store_contract.builders import (
    LEASE,
    PROCESS,
    events_of,
    finish,
    head_of,
    new_request,
    new_session,
    put,
    request_of,
)
from flowstate_server.testing.store_contract.expectations import refused, settled
from flowstate_server.testing.store_contract.harness import StoreHarness

GATE = gate_text("chat", "say", "user", "ada")
OTHER = "process-2"
HOUR = Micros(3600 * SECOND)


def key_of(request_id: str) -> RequestKey:
    return RequestKey(NO_TENANT, request_id)


def coming(
    request_id: str,
    *,
    session_id: str = "session-1",
    policy: Policy = Policy.QUEUE,
    limit: int = 10,
    patience: Micros = HOUR,
    within: str = "",
    process: str = PROCESS,
    gate: str = GATE,
) -> tuple[Write, ...]:
    """A request comes to the gate; its session and process are there."""
    create = replace(new_request(new_session(session_id).key, request_id, process=process), gate=gate)
    return create, EnterGate(create.key, gate, policy, patience, limit, within)


async def prepare(store: Store, *sessions: str) -> None:
    processes = [RenewLease(process, LEASE, start=True) for process in (PROCESS, OTHER)]
    await store.commit((*processes, *map(new_session, sessions or ("session-1",))))


async def come(store: Store, *requests: str, policy: Policy = Policy.QUEUE, gate: str = GATE) -> None:
    for request_id in requests:
        await store.commit(coming(request_id, policy=policy, gate=gate))


async def gate_of(store: Store, gate: str = GATE) -> Gate | None:
    key = gate_key(NO_TENANT, gate)
    return decode_gate((await store.load_documents((key,))).get(key))


async def turns(store: Store) -> list[Turn]:
    return [decode_turn(document) for document in await store.read_documents(turns_of("chat", limit=100))]


async def whose_turn(store: Store) -> list[str]:
    return [turn.request.request_id for turn in await turns(store)]


async def who_is_timed(store: Store) -> list[str]:
    """Of whom the store knows until when they wait."""
    found = await store.read_documents(patience_range(limit=100))
    return sorted(waiting_until(one.key).request.request_id for one in found)


async def begin(store: Store, request_id: str, process: str = PROCESS) -> CommitResult:
    """As a server does that finds the turn."""
    [turn] = [one for one in await turns(store) if one.request.request_id == request_id]
    return await store.commit((beginning(turn, process),))


def beginning(turn: Turn, process: str = PROCESS, gate: str = GATE) -> BeginRequest:
    return BeginRequest(turn.request, gate, turn.expire_time, process)


async def end(store: Store, request_id: str, *, gate: str = GATE) -> None:
    record = await request_of(store, key_of(request_id))
    ended = replace(finish(record.key, record.scopes), gate=gate)
    await store.commit((RequireRun(record.key, record.head.process), ended))


async def types_of(store: Store, request_id: str) -> Sequence[str]:
    return [record.event.type for record in await events_of(store, key_of(request_id))]


async def check_first_of_a_gate_begins_and_others_wait(harness: StoreHarness) -> None:
    """The first is in progress at once; the second is queued on no process, and told of who is ahead and how long."""
    store = await harness.open()
    await prepare(store)
    [_, entered] = (await store.commit(coming("a"))).results
    result = await store.commit(coming("b"))
    queued = result.results[1].head
    assert entered.head is not None
    assert queued is not None
    assert (entered.head.status, entered.head.attempt) == (RequestStatus.IN_PROGRESS, 1)
    assert (queued.status, queued.process, queued.attempt) == (RequestStatus.QUEUED, "", 0)
    assert (entered.head.start_time, queued.start_time) == (0, 0)  # the first began when it was made
    assert [await head_of(store, key_of(name)) for name in "ab"] == [entered.head, queued]
    assert queued.gate == GATE
    [event] = await events_of(store, queued.key)
    assert event.event.type is EventType.REQUEST_QUEUED
    told = RequestQueued.decode(event.event.payload)
    assert told == RequestQueued(ahead=1, expire_time=Micros(result.time + HOUR))
    assert await types_of(store, "a") == [EventType.REQUEST_IN_PROGRESS]
    gate = await gate_of(store)
    assert gate is not None
    assert (gate.holder, [one.request_id for one in gate.waiting]) == ("a", ["b"])
    assert await whose_turn(store) == []


async def check_gates_apart_know_nothing_of_each_other(harness: StoreHarness) -> None:
    """Gates of another key, group, flow or tenant are others, and one that nobody has is not there."""
    store = await harness.open()
    await prepare(store)
    others = [
        gate_text("chat", "say", "user", "eve"),
        gate_text("chat", "say", "session", "ada"),
        gate_text("chat", "other", "user", "ada"),
        gate_text("talk", "say", "user", "ada"),
    ]
    for number, gate in enumerate((GATE, *others)):
        await come(store, f"request-{number}", gate=gate)
        assert (await head_of(store, key_of(f"request-{number}"))).status is RequestStatus.IN_PROGRESS
    await end(store, "request-0")
    assert await gate_of(store) is None
    assert await gate_of(store, others[0]) == Gate("request-1")


async def check_rejected_requests_leave_no_trace(harness: StoreHarness) -> None:
    """With ``reject`` the second is refused with the first one's id; so is one too many in a queue."""
    store = await harness.open()
    await prepare(store)
    await come(store, "a")
    with refused(GateTaken, holder=key_of("a"), itself=False):
        await store.commit(coming("b", policy=Policy.REJECT))
    assert await store.get_request(key_of("b")) is None
    await store.commit(coming("c", limit=1))
    with refused(QueueFullError, limit=1):
        await store.commit(coming("d", limit=1))
    assert await store.get_request(key_of("d")) is None
    with refused(GateTaken, holder=key_of("a"), itself=True):
        await store.commit(coming("e", within="a"))
    await store.commit(coming("f", within="c"))
    assert (await head_of(store, key_of("f"))).status is RequestStatus.QUEUED
    await end(store, "a")
    with refused(GateTaken, holder=key_of("c")):  # whose turn it is
        await store.commit(coming("g", policy=Policy.REJECT))


async def check_repeated_call_attaches_ahead_of_the_gate(harness: StoreHarness) -> None:
    """A repeat gives the request that there is, running or queued, and changes nothing at the gate."""
    store = await harness.open()
    await prepare(store)
    await come(store, "a", "b")
    before = await gate_of(store)
    for name in "ab":
        again = await store.commit(coming(name, policy=Policy.REJECT))
        assert again.attached == await head_of(store, key_of(name))
    assert await gate_of(store) == before


async def check_racing_requests_run_one_after_another(harness: StoreHarness) -> None:
    """Of requests that come at once through two handles one begins; each other one gets one turn, in order."""
    one, other = await harness.open(), await harness.open()
    await prepare(one)
    names = [f"request-{number}" for number in range(12)]
    await asyncio.gather(
        *((one, other)[n % 2].commit(coming(name, limit=20)) for n, name in enumerate(names))
    )
    gate = await gate_of(one)
    assert gate is not None
    order = [gate.holder, *(waiting.request_id for waiting in gate.waiting)]
    assert sorted(order) == sorted(names)
    for running, following in pairwise(order):
        assert await whose_turn(other) == []
        await end(one, running)
        assert await whose_turn(other) == [following]
        [turn] = await turns(other)
        answers = await settled(
            *((one, other)[n % 2].commit((beginning(turn, (PROCESS, OTHER)[n % 2]),)) for n in range(4))
        )
        begun = [answer for answer in answers if isinstance(answer, CommitResult)]
        head = await head_of(one, turn.request)
        assert all(answer.results[0].head == head for answer in begun)
        assert sum(answer.results[0].changed for answer in begun) == 1
        assert all(isinstance(answer, CommitResult | TurnTaken) for answer in answers)
    await end(other, order[-1])
    assert (await gate_of(one), await turns(one)) == (None, [])


async def check_queued_request_begins(harness: StoreHarness) -> None:
    """Whose turn it is begins once, under a lease, with what its run starts from; others don't."""
    store = await harness.open()
    await prepare(store)
    await come(store, "a", "b", "c")
    await store.commit((put(session_scope(new_session().key), {"n": 1}),))
    with refused(TurnTaken):
        await store.commit((BeginRequest(key_of("b"), GATE, HOUR, PROCESS),))
    await end(store, "a")
    [turn] = await turns(store)
    with refused(LeaseLostError):
        await store.commit((beginning(turn, "process-unknown"),))
    load = (session_scope(new_session().key), request_scope(turn.request))
    write = replace(beginning(turn, OTHER), load=load)
    result = await store.commit((write,))
    [begun] = result.results
    assert begun.head is not None
    assert begun.head.start_time == result.time
    assert begun.session is not None
    assert (begun.head.status, begun.head.process, begun.head.attempt) == (
        RequestStatus.IN_PROGRESS,
        OTHER,
        1,
    )
    assert ([state.version for state in begun.states], begun.session.key) == ([1, 0], new_session().key)
    assert await head_of(store, turn.request) == begun.head
    assert await types_of(store, "b") == [EventType.REQUEST_QUEUED, EventType.REQUEST_IN_PROGRESS]
    last = (await events_of(store, turn.request))[-1]
    assert RequestInProgress.decode(last.event.payload) == RequestInProgress(1)
    assert [one.key for one in await store.read_running(OTHER, limit=5)] == [turn.request]
    [again] = (await store.commit((write,))).results  # as after a commit whose outcome was unclear
    assert (again.changed, again.head) == (False, begun.head)
    with refused(TurnTaken):
        await store.commit((beginning(turn),))
    with refused(TurnTaken):
        await store.commit((BeginRequest(key_of("c"), GATE, HOUR, PROCESS),))
    assert await turns(store) == []


async def check_turn_that_is_over_is_not_begun(harness: StoreHarness) -> None:
    """A request whose time to wait is over begins no more."""
    store = await harness.open()
    await prepare(store)
    await come(store, "a")
    await store.commit(coming("b", patience=Micros(1)))
    await end(store, "a")
    with refused(TurnTaken):
        await begin(store, "b")


async def check_turns_wake_who_watches_the_flow(harness: StoreHarness) -> None:
    """Whoever watches the documents of the flow hears, through another handle, that somebody's turn has come."""
    one, other = await harness.open(), await harness.open()
    await prepare(one)
    await come(one, "a", "b")
    with other.watch((Topic(TopicKind.FLOW_DOCUMENTS, NO_TENANT, "chat"),)) as watch:
        await end(one, "a")
        async with asyncio.timeout(other.max_wake_delay + 5):
            while await whose_turn(other) != ["b"]:
                await watch.wait()


async def check_queue_survives_reopening(harness: StoreHarness) -> None:
    """Who has a gate, who waits and whose turn it is is still so when the data was opened again."""
    store = await harness.open()
    await prepare(store)
    await come(store, "a", "b", "c")
    await end(store, "a")
    before = await gate_of(store), await turns(store)
    store = await harness.reopen(store)
    assert (await gate_of(store), await turns(store)) == before
    assert (await head_of(store, key_of("c"))).gate == GATE
    await begin(store, "b", OTHER)
    await end(store, "b")
    assert await whose_turn(store) == ["c"]
