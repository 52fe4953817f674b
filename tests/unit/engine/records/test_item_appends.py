"""Items that are added on behalf of a request: what that costs, and the index that they get."""

from __future__ import annotations

import asyncio
from typing import Any

from flowstate.v1.flow_service_pb2 import DispatchActionRequest
from flowstate_server.engine.calls.items import ItemAppend, NewItem
from flowstate_server.flows import Context
from flowstate_server.model.events import EventType
from flowstate_server.model.identity import NO_TENANT, Plane, Principal
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.reads import EventPage
from flowstate_server.testing.waiting import until
from tests.support.hosted import Hosted, hosted, play, play_spec

TRUSTED = Principal(plane=Plane.TRUSTED)
CALLS = 100
PER_CALL = 10


class _Counting:
    """A store, and how many events were read of it."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.events = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read_events(self, *log: Any, **limits: Any) -> EventPage | None:
        page: EventPage | None = await self._store.read_events(*log, **limits)
        self.events += len(page.events) if page is not None else 0
        return page


async def _append(server: Hosted, count: int = 1) -> set[int]:
    """The indexes that the items have got."""
    items = [NewItem("custom", number) for number in range(count)]
    appended = await server.engine.item_appends.append(TRUSTED, ItemAppend("s1", items, "r1"))
    return {record.item.index for record in appended.items}


async def _begin(server: Hosted) -> None:
    spec = play_spec("r1", session_id="s1")
    await server.flows.DispatchAction(DispatchActionRequest(spec=spec))


async def _begun(server: Hosted, items: int) -> None:
    """Wait until the log tells that the run has begun so many items."""

    async def begun() -> bool:
        page = await server.engine.store.read_events(
            RequestKey(NO_TENANT, "r1"), after=0, limit=2_000, max_bytes=10**9
        )
        events = [record.event for record in page.events] if page is not None else []
        return len([one for one in events if one.type is EventType.ITEM_ADDED and one.block_path]) == items

    await until(begun)


async def test_each_call_costs_the_same_however_long_the_log_is() -> None:
    go = asyncio.Event()

    async def body(ctx: Context) -> None:
        await ctx.add_item("message", "first")
        await go.wait()

    async with hosted(play(body)) as server:
        appends: Any = server.engine.item_appends
        appends._store = store = _Counting(appends._store)
        await _begin(server)
        await _begun(server, 1)
        for _ in range(CALLS):
            before = store.events
            assert await _append(server, PER_CALL) == {1}
            assert store.events - before <= 70
        go.set()


async def test_they_come_behind_what_was_begun_and_ahead_of_what_comes() -> None:
    """Also before the run has begun any, and while it streams one of many pieces."""
    steps = [asyncio.Event() for _ in range(3)]

    async def body(ctx: Context) -> None:
        await steps[0].wait()
        await ctx.add_item("message", "0")
        async with ctx.message() as message:
            for _ in range(700):
                await message.write("x")
                await ctx.emit("noise", transient=True)
            await steps[1].wait()
        await ctx.add_item("message", "2")
        await steps[2].wait()

    async with hosted(play(body)) as server:
        await _begin(server)
        for begun, step in zip((0, 2, 3), steps, strict=True):
            await _begun(server, begun)
            assert [await _append(server, 2) for _ in range(3)] == [{begun}] * 3
            step.set()
