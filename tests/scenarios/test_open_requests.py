"""A request that is queued or suspended has not ended: it is not swept, counts as no turn, is active, is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from flowstate_client import (
    ActionAborted,
    FlowStateClient,
    RequestStatus as ClientStatus,
    RunHandle,
    TimeoutError,
)
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.model.clock import Micros, Seconds
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import FOR_CLIENTS, Item, ItemKind
from flowstate_server.model.json_values import EMPTY_OBJECT
from flowstate_server.model.payloads import Custom, RequestAborted
from flowstate_server.model.records import RequestRecord, RequestStatus
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.tables import REQUESTS
from flowstate_server.stores.contract.writes import AppendEvents, FenceProcess, FinishRequest, RenewLease
from flowstate_server.stores.store import Store
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.server import RunningServer
from flowstate_server.testing.store_contract.builders import take_over
from flowstate_server.testing.waiting import soon
from tests.support.flows import app
from tests.support.store_urls import ALL, NewStore

SESSION = SessionKey(NO_TENANT, "s")
OPEN = RequestKey(NO_TENANT, "req_open")
DEAD = "proc_dead"
FORGETFUL = EngineSettings(transient_retention=Seconds(0.0))


@pytest.fixture(params=ALL)
async def open_server(
    request: pytest.FixtureRequest, start_server: StartServer, new_store: NewStore
) -> RunningServer:
    return await start_server(app, store=await new_store(request.param), settings=FORGETFUL)


@pytest.fixture
async def ada(open_server: RunningServer) -> AsyncIterator[FlowStateClient]:
    async with open_server.connect(user="ada") as client:
        yield client


@pytest.fixture(params=[RequestStatus.QUEUED, RequestStatus.SUSPENDED])
async def opened(
    request: pytest.FixtureRequest, open_server: RunningServer, ada: FlowStateClient
) -> RunHandle:
    """A request beside a completed one; the process that a suspended one ran on last is gone."""
    done = await ada.flows.dispatch("ledger", "bump", {}, session_id="s")
    await done.result()
    store = open_server.engine.store
    model = await store.get_request(RequestKey(NO_TENANT, done.request_id))
    assert model is not None
    await _put(store, _like(model, request.param))
    # Also what is appended to it leaves it open: `Item` makes history, `Custom` is transient.
    item = Item("item_1", ItemKind.MESSAGE, 0, b'{"parts":[]}')
    events = (
        Event(EventType.ITEM_DONE, EMPTY_OBJECT, item.audiences, item=item),
        Event(EventType.CUSTOM, Custom("note", None).encode(), FOR_CLIENTS, transient=True),
    )
    await store.commit((AppendEvents(SESSION, events, OPEN),))
    return ada.flows.handle(OPEN.request_id)


async def test_it_is_seen_as_it_is(open_server: RunningServer, opened: RunHandle) -> None:
    record = await open_server.engine.store.get_request(OPEN)
    assert record is not None
    assert record.head.status in (RequestStatus.QUEUED, RequestStatus.SUSPENDED)
    seen = await opened.get()
    assert seen.status is ClientStatus(record.head.status.value)
    assert (seen.start_time is None) == (seen.status is ClientStatus.QUEUED)


async def test_it_is_active(ada: FlowStateClient, opened: RunHandle) -> None:
    snapshot = await ada.sessions.snapshot("s")
    assert list(snapshot.active_requests) == [opened.request_id]


async def test_it_is_not_swept(open_server: RunningServer, opened: RunHandle) -> None:
    before = await opened.get()
    await open_server.engine.sweeper.sweep()
    assert await opened.get() == before
    page = await open_server.engine.store.read_events(OPEN, after=0, limit=10, max_bytes=1000)
    assert page is not None
    assert [record.event.type for record in page.events] == ["item.done", "custom"]


async def test_it_counts_as_no_turn(open_server: RunningServer, opened: RunHandle) -> None:
    store = open_server.engine.store
    projection = await store.read_projection(SESSION, ())
    assert projection is not None
    assert projection.head.turns == 1
    assert list(await store.read_turns(SESSION, projection.session.log_id, newest=10)) == []


async def test_it_is_waited_for(open_server: RunningServer, opened: RunHandle) -> None:
    with pytest.raises(TimeoutError):
        await opened.result(timeout=0.05)
    waiting = asyncio.create_task(opened.result(timeout=20.0))
    async with opened.events() as events:
        seen = [await soon(anext(events)) for _ in range(2)]
        await _abort(open_server.engine.store)
        seen += [event async for event in events]
    assert [event.type for event in seen] == ["item.done", "custom", "request.aborted"]
    with pytest.raises(ActionAborted):
        await waiting


async def test_a_repeat_attaches_to_it(
    open_server: RunningServer, ada: FlowStateClient, opened: RunHandle
) -> None:
    again = await ada.flows.dispatch("ledger", "bump", {}, session_id="s", request_id=OPEN.request_id)
    assert again.request_id == OPEN.request_id
    assert not (await again.get()).status.ended


def _like(model: RequestRecord, status: RequestStatus) -> RequestRecord:
    head = replace(
        model.head,
        key=OPEN,
        log_id="log_open",
        status=status,
        process="" if status is RequestStatus.QUEUED else DEAD,
        sequence=0,
        end_time=Micros(0),
    )
    return replace(model, head=head, output=None)


async def _abort(store: Store) -> None:
    told = RequestAborted("not needed any more")
    finish = FinishRequest(
        request=OPEN, status=RequestStatus.ABORTED, event=told.type, payload=told.members(), scopes=()
    )
    await store.commit((finish,))


async def _put(store: Store, request: RequestRecord) -> None:
    """As a copy puts it, which takes over whatever status a record has."""
    renewed = await store.commit((RenewLease(DEAD, Micros(0), start=True),))
    await store.commit((FenceProcess(DEAD, renewed.time),))
    await take_over(store, REQUESTS, (request,))
