"""Blocks that ignore their cancellation: abandoned after the grace, and fenced."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import ActionAborted, ActionFailed, Event, FlowStateClient, RunHandle
from flowstate_client.testing import record_events
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import ServiceError
from flowstate_server.flows import Action, Audience, Context, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon, until

GRACE = 0.2
KIND = "stubborn"


class Counted(BaseModel):
    count: int = 0


@handler
async def too_late(value: None, ctx: Context) -> None:
    raise AssertionError("it must not run")


Operation = Callable[[Context[Counted]], Coroutine[Any, Any, None]]


async def _increment(ctx: Context[Counted]) -> None:
    await ctx.session.inc_state(count=1)


async def _swap(ctx: Context[Counted]) -> None:
    await ctx.session.atomic_state(lambda state: {"count": state.count + 1})


async def _use_request_scope(ctx: Context[Counted]) -> None:
    await ctx.request.inc_state({"count": 1})


async def _rename_session(ctx: Context[Counted]) -> None:
    await ctx.session.set_metadata(title="too late")


async def _note(ctx: Context[Counted]) -> None:
    await ctx.session.append_journal("too late")


async def _emit(ctx: Context[Counted]) -> None:
    await ctx.emit("too late", audience=Audience.CLIENT)


async def _tell_status(ctx: Context[Counted]) -> None:
    await ctx.status("too late")


async def _add_item(ctx: Context[Counted]) -> None:
    await ctx.add_item("custom", {"too": "late"}, name="late")


async def _open_message(ctx: Context[Counted]) -> None:
    async with ctx.message() as message:
        await message.write("too late")


async def _execute(ctx: Context[Counted]) -> None:
    await ctx.execute(too_late, None)


WRITES: dict[str, Operation] = {
    "state": _increment,
    "read-modify-write": _swap,
    "request scope": _use_request_scope,
    "metadata": _rename_session,
    "journal": _note,
    "event": _emit,
    "status": _tell_status,
    "item": _add_item,
    "message": _open_message,
    "block": _execute,
}


@dataclass
class Clinging:
    """A block that waits until it is released, whoever cancels it, and then does what it should not be able to."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    refused: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None

    async def run(self, ctx: Context[Counted]) -> str:
        try:
            await ctx.session.inc_state(count=1)
            async with ctx.message() as message:
                await message.write("so far")
                self.begun.set()
                while not self.released.is_set():
                    try:
                        await self.released.wait()
                    except asyncio.CancelledError:
                        self.cancelled.set()
            return await self._write_on(ctx)
        finally:
            self.over.set()

    async def _write_on(self, ctx: Context[Counted]) -> str:
        for name, write in WRITES.items():
            try:
                await write(ctx)
            except ServiceError as error:
                self.refused[name] = error.reason
            except AssertionError:
                self.refused[name] = "ran"
        if self.error is not None:
            raise self.error
        return "too late"


@dataclass
class Stubborn:
    client: FlowStateClient
    block: Clinging

    async def begin(self, action: str = "cling") -> RunHandle:
        run = await self.client.flows.dispatch(KIND, action, None, session_id="s")
        await soon(self.block.begun.wait())
        return run

    async def let_it_write(self, run: RunHandle) -> list[Event]:
        """Release the abandoned block; the events of its run, which were the same before."""
        before = await soon(record_events(run))
        self.block.released.set()
        await soon(self.block.over.wait())
        after = await soon(record_events(run))
        assert [event.event_id for event in after] == [event.event_id for event in before]
        return after


@asynccontextmanager
async def serving(grace: float, **more: Action[None, object]) -> AsyncIterator[Stubborn]:
    block = Clinging()

    @handler(session_state=Counted, request_state=Counted)
    async def cling(value: None, ctx: Context[Counted]) -> str:
        return await block.run(ctx)

    actions: dict[str, Action[None, object]] = {
        "cling": action(block=cling),
        "cling_briefly": action(block=cling, timeout=0.5),
        **more,
    }
    flow = define_flow(KIND, actions=actions)
    async with running_server(flow, settings=EngineSettings(cancel_grace=Seconds(grace))) as server:
        async with server.connect(user="u", plane="trusted") as client:
            yield Stubborn(client, block)


async def _session_version(client: FlowStateClient) -> int:
    return (await client.state.session("s").get()).version


@pytest.mark.parametrize(("ended_by", "last"), [("cancel", "request.aborted"), ("timeout", "request.failed")])
async def test_abandoned_it_can_write_nothing_more(ended_by: str, last: str) -> None:
    async with serving(GRACE) as stubborn:
        run = await stubborn.begin("cling" if ended_by == "cancel" else "cling_briefly")
        if ended_by == "cancel":
            await run.cancel("enough")
        with pytest.raises(ActionFailed) as ended:
            await run.result(timeout=20.0)
        assert stubborn.block.cancelled.is_set()
        events = await stubborn.let_it_write(run)
        assert stubborn.block.refused == dict.fromkeys(WRITES, "REQUEST_TERMINAL")
        assert isinstance(ended.value, ActionAborted) == (ended_by == "cancel")
        types = [event.type for event in events]
        assert types[-1] == last
        assert types.count("item.done") == 1  # with the text so far
        assert "custom" not in types
        assert await _session_version(stubborn.client) == 1


async def test_the_grace_is_five_seconds() -> None:
    assert EngineSettings().cancel_grace == 5.0
    async with serving(EngineSettings().cancel_grace) as stubborn:
        run = await stubborn.begin()
        began = time.monotonic()
        await run.cancel()
        await soon(stubborn.block.cancelled.wait(), 1.0)
        with pytest.raises(ActionAborted):
            await run.result(timeout=20.0)
        assert 4.9 <= time.monotonic() - began < 10.0
        await stubborn.let_it_write(run)


async def test_what_ends_within_the_grace_is_not_abandoned() -> None:
    async with serving(60.0) as stubborn:
        run = await stubborn.begin()
        await run.cancel("enough")
        await soon(stubborn.block.cancelled.wait())
        stubborn.block.released.set()
        with pytest.raises(ActionAborted):
            await run.result(timeout=20.0)
        events = await soon(record_events(run))
        assert events[-1].type == "request.aborted"
        assert "custom" in [event.type for event in events]
        assert stubborn.block.refused == {"block": "ran"}


async def test_a_thread_goes_on_but_can_commit_nothing() -> None:
    begun, release, over = threading.Event(), threading.Event(), threading.Event()
    refused: list[str] = []

    @handler(session_state=Counted)
    def in_thread(value: None, ctx: Context[Counted]) -> None:
        ctx.run(_increment(ctx))
        begun.set()
        release.wait(30.0)
        for write in WRITES.values():
            try:
                ctx.run(write(ctx))
            except ServiceError as error:
                refused.append(error.reason)
        over.set()

    async with serving(GRACE, in_thread=action(block=in_thread)) as stubborn:
        run = await stubborn.client.flows.dispatch(KIND, "in_thread", None, session_id="s")
        await until(begun.is_set)
        await run.cancel()
        with pytest.raises(ActionAborted):
            await run.result(timeout=20.0)
        events = await soon(record_events(run))
        release.set()
        await until(over.is_set)
        assert refused == ["REQUEST_TERMINAL"] * len(WRITES)
        assert [event.event_id for event in await soon(record_events(run))] == [
            event.event_id for event in events
        ]
        assert await _session_version(stubborn.client) == 1


async def test_what_an_abandoned_block_raises_at_last_is_not_complained_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(0.0) as stubborn:
        stubborn.block.error = RuntimeError("too late")
        run = await stubborn.begin()
        await run.cancel()
        with pytest.raises(ActionAborted):
            await run.result(timeout=20.0)
        stubborn.block.released.set()
        await soon(stubborn.block.over.wait())
    gc.collect()
    complaints = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not complaints
