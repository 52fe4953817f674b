"""Deploys of a changed schema over stored state, one after the other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel, Field

from flowstate_client import (
    ActionFailed,
    FlowStateClient,
    Scope,
    ScopeUnavailable,
    StateChange,
    VersionMismatch,
)
from flowstate_server.errors import ScopeUnavailableError, StateValidationError
from flowstate_server.flows import ClientView, Context, Flow, Session, action, define_flow, handler
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.waiting import until
from tests.support.two_generations import Fields, New, chat, fill, upgrade


async def test_a_later_deploy_upgrades_what_it_finds(start_server: StartServer, durable_url: str) -> None:
    first = await start_server(chat(1), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = await fill(client)
    await first.stop()
    second = await start_server(chat(2), store=durable_url)
    upgraded = {"colour": "7", "notes": {"a": "1"}, "count": 1}
    async with second.connect(user="ada", plane="trusted") as client:
        record = await client.state.session(session).get()
        assert (record.state, record.version) == (upgraded, 1)
        assert (await client.state.user("ada").get()).state == {"colour": "8", "count": 0, "notes": {}}
        shown = (await client.sessions.snapshot(session)).client_data["session"]
        assert shown == {**upgraded, "all": 1}
        held = client.state.session(session)
        with pytest.raises(VersionMismatch):
            await held.at(0).inc_state(count=1)
        assert (await held.if_exists().inc_state(count=1)).version == 2
        assert (await held.get()).state == {**upgraded, "count": 2}
        await client.state.user("ada", flow_kind="chat").atomic_state(
            lambda state: {"colour": state["colour"] + "!"}
        )
        assert (await client.state.user("ada").get()).state == {"colour": "8!", "count": 0, "notes": {}}
    await second.stop()
    third = await start_server(chat(2), store=durable_url)
    async with third.connect(user="ada", plane="trusted") as client:
        assert (await client.state.session(session).get()).state == {**upgraded, "count": 2}


async def test_a_precondition_alone_upgrades_nothing(start_server: StartServer, durable_url: str) -> None:
    first = await start_server(chat(1), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = await fill(client)
    await first.stop()
    second = await start_server(chat(2), store=durable_url)
    async with second.connect(user="ada", plane="trusted") as client:
        async with client.state.batch() as batch:
            batch.session(session).at(1)
            batch.user("ada", flow_kind="chat").inc_state(count=1)
        assert (await client.state.session(session).get()).version == 1


def folded(state: Mapping[str, Any], change: StateChange) -> Fields:
    """``state``, to whose top level and the records of one field ``change`` is applied."""
    after: Fields = {name: dict(value) if isinstance(value, dict) else value for name, value in state.items()}
    for pointer in change.removed:
        *above, last = pointer[1:].split("/")
        (after[above[0]] if above else after).pop(last, None)
    for pointer, value in change.changed.items():
        *above, last = pointer[1:].split("/")
        (after.setdefault(above[0], {}) if above else after)[last] = value
    return after


async def test_folding_the_changes_gives_what_is_read(start_server: StartServer, durable_url: str) -> None:
    """Whoever holds what the old deploy showed and applies what the log tells has what the new one shows."""
    first = await start_server(chat(1), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = await fill(client)
        held: Fields = (await client.state.session(session).get()).state
    await first.stop()
    second = await start_server(chat(2), store=durable_url)
    async with second.connect(user="ada", plane="trusted") as client:
        for number in range(3):
            run = await client.flows.dispatch("chat", "bump", None, session_id=session)
            assert await run.result() == "7"
            for change in await changes(client, run.request_id):
                held = folded(held, change)
                assert not change.stale
            assert held == (await client.state.session(session).get()).state
            assert held["count"] == number + 2


async def test_folding_what_clients_are_told_gives_their_snapshot(
    start_server: StartServer, durable_url: str
) -> None:
    first = await start_server(chat(1), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = await fill(client)
    await first.stop()
    second = await start_server(chat(2), store=durable_url)
    async with second.connect(user="ada") as client:
        held = (await client.sessions.snapshot(session)).client_data["session"]
        assert held == {"colour": "7", "notes": {"a": "1"}, "count": 1, "all": 1}
        for number in range(2):
            run = await client.flows.dispatch("chat", "bump", None, session_id=session)
            await run.result()
            told = await changes(client, run.request_id)
            assert "theme" not in repr(told)
            for change in told:
                assert change.stale == ("all",)
                held = folded(held, change)
            assert held == (await client.sessions.snapshot(session)).client_data["session"]
            assert held["count"] == number + 2


async def changes(client: FlowStateClient, request_id: str) -> list[StateChange]:
    """What the log of a run tells of the session's state."""
    async with client.flows.handle(request_id).events() as events:
        return [
            event async for event in events if isinstance(event, StateChange) and event.scope == "session"
        ]


async def test_a_deploy_that_changes_a_type_without_an_upgrade_fails_that_field_alone(
    start_server: StartServer, durable_url: str
) -> None:
    class Other(BaseModel):
        theme: str = ""
        count: int = 0

    @handler(session_state=Other)
    async def read(which: str, ctx: Context[Other]) -> Any:
        await ctx.session.inc_state(count=1)
        try:
            return getattr(ctx.session.state, which)
        except StateValidationError as error:
            return str(error)

    first = await start_server(chat(1), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = await fill(client)
    await first.stop()
    view = ClientView(expose=["theme", "count"])
    changed = define_flow(
        "chat", actions={"read": action(block=read)}, session=Session(state=Other, client=view)
    )
    second = await start_server(changed, store=durable_url)
    async with second.connect(user="ada", plane="trusted") as client:
        told = await client.flows.call("chat", "read", "theme", session_id=session)
        assert "/theme" in told
        assert "upgrade=" in told
        assert "7" not in told
        assert await client.flows.call("chat", "read", "count", session_id=session) == 3
        snapshot = await client.sessions.snapshot(session)
        assert snapshot.client_data["session"] == {"count": 3}
        await client.state.session(session).patch_state(theme="dark")
        assert await client.flows.call("chat", "read", "theme", session_id=session) == "dark"


async def test_an_upgrade_that_fails_stores_nothing_and_hurts_no_other_session(
    start_server: StartServer, durable_url: str
) -> None:
    def picky(fields: Fields) -> Fields:
        if fields.get("theme") == 7:
            raise SystemExit("c4nary")
        return upgrade(fields)

    first = await start_server(chat(1), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        bad = await fill(client)
        good = (await client.sessions.create("chat")).id
        await client.state.session(good).patch_state(theme=1)
    await first.stop()
    view = ClientView(expose=["colour", "count"])
    second = await start_server(
        chat(2, session=Session(state=New, generation=2, upgrade=picky, client=view)), store=durable_url
    )
    async with second.connect(user="ada", plane="trusted") as client:
        broken = client.state.session(bad)
        with pytest.raises(
            ScopeUnavailable, match='upgrade of flow "chat" from generation 1 to 2'
        ) as refused:
            await broken.get()
        assert "c4nary" not in str(refused.value)
        with pytest.raises(ScopeUnavailable):
            await broken.inc_state(count=1)
        unavailable = "SCOPE_UNAVAILABLE: the session record is not available"
        with pytest.raises(ActionFailed, match=unavailable) as failed:
            await client.flows.call("chat", "bump", None, session_id=bad)
        assert failed.value.failure.retryable
        assert failed.value.failure.error_id
        snapshot = await client.sessions.snapshot(bad)
        assert snapshot.client_data["session"] == {}
        assert (await client.flows.call("chat", "bump", None, session_id=good)) == "1"
        assert (await client.state.session(good).get()).state["count"] == 1
    await second.stop()
    third = await start_server(chat(2), store=durable_url)
    async with third.connect(user="ada", plane="trusted") as client:
        record = await client.state.session(bad).get()
        assert (record.state["colour"], record.version) == ("7", 1)


def numbered(generation: int, calls: list[Fields]) -> Flow:
    """A flow whose sessions have a field that a factory makes; ``calls`` tells what its upgrade was given."""

    class Numbered(BaseModel):
        token: str = Field(default_factory=lambda: uuid4().hex)
        count: int = 0

    def renumber(fields: Fields) -> Fields:
        calls.append(dict(fields))
        return fields

    @handler(session_state=Numbered)
    async def bump(value: None, ctx: Context[Numbered]) -> str:
        with suppress(ScopeUnavailableError):
            await ctx.session.inc_state(count=1)
        return ctx.session.state.token

    session = Session(state=Numbered, generation=generation, upgrade=renumber if generation > 1 else None)
    return define_flow(kind="numbered", session=session, actions={"bump": action(block=bump)})


async def test_what_a_factory_makes_for_a_new_record_is_of_its_generation(
    start_server: StartServer, durable_url: str
) -> None:
    calls: list[Fields] = []
    server = await start_server(numbered(2, calls), store=durable_url)
    async with server.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("numbered")).id
        assert (await client.state.session(session).get()).version == 1
        token = await client.flows.call("numbered", "bump", None, session_id=session)
        assert (await client.state.session(session).get()).state == {"token": token, "count": 1}
    assert calls == []


async def test_a_factory_fills_records_of_older_generations_and_leaves_those_of_newer_ones(
    start_server: StartServer, durable_url: str
) -> None:
    calls: list[Fields] = []
    first = await start_server(numbered(1, calls), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("numbered")).id
        await client.state.session(session).unset_state("token")
    await first.stop()
    second = await start_server(numbered(2, calls), store=durable_url)
    async with second.connect(user="ada", plane="trusted") as client:
        token = await client.flows.call("numbered", "bump", None, session_id=session)
        assert (await client.state.session(session).get()).state == {"token": token, "count": 1}
        assert calls
        await client.state.session(session).unset_state("token")
    await second.stop()
    third = await start_server(numbered(1, calls), store=durable_url)
    async with third.connect(user="ada", plane="trusted") as client:
        with pytest.raises(ActionFailed):
            await client.flows.call("numbered", "bump", None, session_id=session)
        assert (await client.state.session(session).get()).state == {"count": 1}


def sleepy(generation: int, awake: threading.Event) -> Flow:
    """A flow whose upgrade waits until ``awake``."""

    def wait(fields: Fields) -> Fields:
        awake.wait(30)
        return fields

    @handler(session_state=New)
    async def read(value: None, ctx: Context[New]) -> int:
        return ctx.session.state.count

    session = Session(
        state=New,
        generation=generation,
        upgrade=wait if generation > 1 else None,
        client=ClientView(expose=["count"]),
    )
    return define_flow(kind=SLEEPY, session=session, actions={"read": action(block=read)})


SLEEPY = "sleepy"


async def test_an_upgrade_that_sleeps_is_refused_by_name_and_nobody_waits_for_it(
    start_server: StartServer, durable_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    awake = threading.Event()
    first = await start_server(sleepy(1, awake), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create(SLEEPY)).id
        await client.state.session(session).inc_state(count=1)
    await first.stop()
    second = await start_server([sleepy(2, awake), chat(2)], store=durable_url)
    async with second.connect(user="ada", plane="trusted") as client:
        other = (await client.sessions.create("chat")).id

        async def in_the_way() -> None:
            held = client.state.session(session)
            for operation in (held.get(), held.inc_state(count=1)):
                with pytest.raises(ScopeUnavailable, match=r'flow "sleepy" .* more than 250 ms'):
                    await operation
            with pytest.raises(ActionFailed):
                await client.flows.call(SLEEPY, "read", None, session_id=session)
            shown = (await client.sessions.snapshot(session)).failures[Scope.SESSION]["count"]
            assert "can't be upgraded" in shown.message

        slow = asyncio.ensure_future(in_the_way())
        served = 0
        longest = 0.0
        while not slow.done():
            began = time.monotonic()
            await client.state.session(other).inc_state(count=1)
            longest = max(longest, time.monotonic() - began)
            served += 1
        await slow
        assert served > 10
        assert longest < 5, "nobody waits for an upgrade"
        awake.set()

        async def ended() -> bool:
            with suppress(ScopeUnavailable):
                await client.state.session(session).get()
                return True
            return False

        await until(ended)  # the threads that wait inside it
        assert (await client.state.session(session).inc_state(count=1)).version == 2
    assert sum("more than 250 ms" in record.getMessage() for record in caplog.records) >= 1
