"""Two generations of one flow on one store: a rolling deploy, and one that is taken back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from flowstate_client import FlowStateClient, ScopeUnavailable
from flowstate_server.errors import ScopeUnavailableError
from flowstate_server.flows import Audience, Context, action, handler
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.waiting import until
from tests.support.two_generations import Old, chat, fill


class Writers:
    """Write keys of their own to one session, and count them at its user: half through runs, half over the wire with a
    count at the user."""

    def __init__(self, session: str) -> None:
        self.session = session
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self.counted = 0
        self.refusals: set[str] = set()
        self.stopped = False

    async def write(self, client: FlowStateClient, name: str, field: str, value: object) -> None:
        number = 0
        while not self.stopped:
            number += 1
            key = f"{name}-{number}"
            kept = await self.one(client, key, field, value, by_run=number % 2 == 0)
            (self.acknowledged if kept else self.refused).add(key)

    async def one(
        self, client: FlowStateClient, key: str, field: str, value: object, *, by_run: bool
    ) -> bool:
        if by_run:
            return bool(await client.flows.call("chat", "mark", key, session_id=self.session))
        try:
            async with client.state.batch() as batch:
                batch.session(self.session).set_state_record(field, key, value)
                batch.user("ada", flow_kind="chat").inc_state(count=1)
        except ScopeUnavailable as refused:
            self.refusals.add(str(refused))
            return False
        self.counted += 1
        return True

    def count(self, keys: set[str], name: str) -> int:
        return len([key for key in keys if key.startswith(name)])


async def test_a_rolling_deploy_of_two_generations_loses_no_acknowledged_write(
    start_server: StartServer, shared_url: str
) -> None:
    first = await start_server(chat(1), store=shared_url)
    async with AsyncExitStack() as stack, asyncio.timeout(45):
        old = await stack.enter_async_context(first.connect(user="ada", plane="trusted"))
        writers = Writers(await fill(old))
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(writers.write(old, f"old{number}", "marks", 1))
            await until(lambda: writers.count(writers.acknowledged, "old") >= 20)
            second = await start_server(chat(2), store=shared_url)
            new = await stack.enter_async_context(second.connect(user="ada", plane="trusted"))
            # A look changes nothing: the old deploy goes on until the new one writes.
            assert (await new.state.session(writers.session).get()).state["notes"]
            before = len(writers.acknowledged)
            await until(lambda: len(writers.acknowledged) >= before + 10)
            assert not writers.refused
            for number in range(3):
                group.create_task(writers.write(new, f"new{number}", "notes", "1"))
            await until(lambda: writers.count(writers.refused, "old") >= 10)
            await until(lambda: writers.count(writers.acknowledged, "new") >= 20)
            writers.stopped = True
        await first.stop()
        third = await start_server(chat(2), store=shared_url)
        last = await stack.enter_async_context(third.connect(user="ada", plane="trusted"))
        for by_run in (True, False):
            assert await writers.one(last, f"last-{by_run}", "notes", "1", by_run=by_run)
            writers.acknowledged.add(f"last-{by_run}")
        for client in (new, last):
            state = (await client.state.session(writers.session).get()).state
            assert state["notes"].keys() == writers.acknowledged | {"a"}
            assert state["colour"] == "7"
            assert not state.keys() & {"marks", "theme"}
            user = (await client.state.user("ada").get()).state
            assert user == {"colour": "8", "count": writers.counted, "notes": {}}
        assert all(key.startswith("old") for key in writers.refused)
        for told in writers.refusals:
            assert "newer deploy" in told
            assert "generation 2" in told
        assert writers.refusals


async def test_a_deploy_that_is_taken_back_reads_what_fits_and_may_not_write(
    start_server: StartServer, durable_url: str
) -> None:
    second = await start_server(chat(2), store=durable_url)
    async with second.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("chat")).id
        await client.state.session(session).patch_state(colour="red", count=4)
        scopes = (await client.flows.get("chat")).scopes
        assert {scope.scope: scope.generation for scope in scopes} == {"session": 2, "user": 2}
    await second.stop()
    first = await start_server(chat(1), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        record = client.state.session(session)
        before = await record.get()
        assert (before.state["count"], before.state["theme"]) == (4, 0)
        shown = (await client.sessions.snapshot(session)).client_data["session"]
        assert shown == {"count": 4, "theme": 0, "marks": {}}
        for refused in (
            record.inc_state(count=1),
            record.patch_state(nowhere=1),
            record.set_state({}),
            record.atomic_state(lambda state: {"count": state["count"] + 1}),
        ):
            with pytest.raises(ScopeUnavailable, match=r"newer deploy.*generation 2.*is 1"):
                await refused
        async with client.state.batch() as batch:  # of a record that is not concerned
            batch.user("ada", flow_kind="chat").inc_state(count=1)
        batch = client.state.batch()
        batch.user("ada", flow_kind="chat").inc_state(count=1)
        batch.session(session).inc_state(count=1)
        with pytest.raises(ScopeUnavailable) as blamed:
            await batch.__aexit__(None, None, None)
        assert blamed.value.mutation is not None
        assert blamed.value.mutation.index == 1
        assert await client.flows.call("chat", "mark", "a", session_id=session) is False
        assert (await record.get()).version == before.version
        assert (await client.state.user("ada").get()).state == {"count": 1, "marks": {}, "theme": 0}
    await first.stop()
    again = await start_server(chat(2), store=durable_url)
    async with again.connect(user="ada", plane="trusted") as client:
        assert (await client.state.session(session).get()).state["colour"] == "red"


async def test_a_run_of_the_older_deploy_is_refused_from_the_moment_the_newer_one_has_written(
    start_server: StartServer, shared_url: str
) -> None:
    gate = asyncio.Event()

    @handler(session_state=Old)
    async def held(_: None, ctx: Context[Old]) -> list[Any]:
        await ctx.session.inc_state(count=1)
        await ctx.emit("written", audience=Audience.CLIENT)
        await gate.wait()
        told: list[Any] = []
        for write in (ctx.session.inc_state(count=1), ctx.session.atomic_state(lambda now: {"count": 9})):
            try:
                await write
            except ScopeUnavailableError as refused:
                told.append(str(refused))
        await ctx.session.refresh()
        return [*told, ctx.session.state.count]

    old = chat(1, actions={"hold": action(block=held)})
    first = await start_server(old, store=shared_url)
    second = await start_server(chat(2), store=shared_url)
    async with (
        first.connect(user="ada", plane="trusted") as before,
        second.connect(user="ada", plane="trusted") as after,
    ):
        session = await fill(before)
        run = await before.flows.dispatch("chat", "hold", None, session_id=session)
        async with run.events() as events:
            async for event in events:
                if event.type == "custom":
                    break
        assert (await after.state.session(session).inc_state(count=10)).version == 3
        gate.set()
        *told, count = await run.result()
        assert [("newer deploy" in text) for text in told] == [True, True]
        assert count == 12
        assert (await after.state.session(session).get()).state["count"] == 12
