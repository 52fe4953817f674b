"""Conversations that are written from outside: items are added and removed, and all who read agree about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from flowstate_client import (
    ActionFailed,
    FlowStateClient,
    Item,
    ItemAdded,
    ItemDelta,
    ItemDone,
    ItemRemoved,
    NewItem,
    NotFound,
    PermissionDenied,
    PreconditionError,
    RequestCompleted,
    RequestTerminal,
    RunHandle,
    SessionNotFound,
    ValidationFailed,
)
from flowstate_server.flows import Flow
from flowstate_server.testing.fixtures import StartServer
from tests.support.remembering import Held, remembering


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def flow(held: Held) -> Flow:
    return remembering(held)


def texts(items: Sequence[Item]) -> list[str]:
    return [item.content["parts"][0]["text"] for item in items]


async def recalled(client: FlowStateClient, turns: int | None = None) -> Any:
    asked = {} if turns is None else {"text": str(turns)}
    return await client.flows.call("remembering", "recall", asked, session_id="s")


async def listed(client: FlowStateClient, **options: Any) -> list[Item]:
    return [item async for item in client.sessions.items("s", **options)]


async def said(client: FlowStateClient, text: str) -> RunHandle:
    run = await client.flows.dispatch("remembering", "say", {"text": text}, session_id="s")
    await run.result()
    return run


async def session_events(client: FlowStateClient) -> list[Any]:
    return [event async for event in client.sessions.events("s", replay_only=True)]


async def test_items_from_outside_are_a_turn(start_server: StartServer, store_url: str, flow: Flow) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client, server.connect(user="ada") as app:
        await client.sessions.create("remembering", session_id="s")
        await said(client, "one")
        added = await client.sessions.append_items(
            "s",
            [
                NewItem.message("user", "two"),
                NewItem("message", {"parts": [{"type": "text", "text": "hidden"}]}, "user", audiences=()),
                NewItem.message("assistant", "three"),
            ],
        )
        assert [(item.index, item.request_id, item.audiences) for item in added] == [
            (0, "", ("client", "history")),
            (1, "", ()),
            (2, "", ("client", "history")),
        ]
        assert await listed(client, last_turns=1) == added
        assert await recalled(client) == ["one", "you said one", "two", "three"]
        assert texts(await listed(app)) == ["one", "you said one", "two", "three"]
        told = [event for event in await session_events(client) if not event.request_id]
        assert [type(event) for event in told] == [ItemAdded, ItemDone] * 3
        assert [event.item for event in told[1::2]] == added
        seen = [event for event in await session_events(app) if not event.request_id]
        assert [event.item for event in seen[1::2]] == [added[0], added[2]]


async def test_a_turn_that_is_gone_does_not_count(
    start_server: StartServer, store_url: str, held: Held
) -> None:
    server = await start_server(remembering(held, window=3), store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        turns = []
        for number in range(4):
            pair = [NewItem.message("user", f"{number}{name}") for name in "ab"]
            turns.append(await client.sessions.append_items("s", pair))
        gone = [item.item_id for item in turns[2]]
        await client.sessions.remove_items("s", gone[:1])
        assert texts(await listed(client, last_turns=3)) == ["1a", "1b", "2b", "3a", "3b"]
        await client.sessions.remove_items("s", gone[1:])
        assert texts(await listed(client, last_turns=3)) == ["0a", "0b", "1a", "1b", "3a", "3b"]
        assert await recalled(client) == ["0a", "0b", "1a", "1b", "3a", "3b"]
        assert await recalled(client, turns=2) == ["1a", "1b", "3a", "3b"]


async def test_items_on_behalf_of_a_request(
    start_server: StartServer, store_url: str, flow: Flow, held: Held
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        run = await client.flows.dispatch("remembering", "hold", {"text": "x"}, session_id="s")
        async for event in run.events(types=("status",)):
            assert event.type == "status"
            break
        for pair in ("ab", "c"):
            added = await client.sessions.append_items(
                "s", [NewItem.message("user", name) for name in pair], request_id=run.request_id
            )
            assert {item.request_id for item in added} == {run.request_id}
        with pytest.raises(PreconditionError) as refusal:
            await client.sessions.remove_items("s", newest=1)
        assert refusal.value.reason == "REQUEST_OPEN"
        held.opened.set()
        assert await run.result() == ["x before", "x after"]
        with pytest.raises(RequestTerminal):
            await client.sessions.append_items(
                "s", [NewItem.message("user", "late")], request_id=run.request_id
            )
        wanted = ["x before", "a", "b", "c", "x after"]
        assert await recalled(client) == wanted
        assert texts(await listed(client, request_id=run.request_id)) == wanted
        assert texts(await listed(client, last_turns=2)) == wanted
        events = [event async for event in run.events()]
        assert texts([event.item for event in events if isinstance(event, ItemDone)]) == wanted
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_removed_items_are_gone_for_all_who_read(
    start_server: StartServer, store_url: str, flow: Flow
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client, server.connect(user="ada") as app:
        await client.sessions.create("remembering", session_id="s")
        first, second = await said(client, "one"), await said(client, "two")
        items = await listed(client)
        removed = await client.sessions.remove_items("s", [items[2].item_id])
        assert removed == [items[2].item_id]
        assert await client.sessions.remove_items("s", removed) == []
        assert texts(await listed(app)) == ["one", "you said one", "you said two"]
        assert await recalled(client) == ["one", "you said one", "you said two"]
        record = await second.get()
        assert (record.input, record.output) == ({"text": "two"}, "you said two")
        gone = await client.sessions.remove_items("s", after=items[1].item_id)
        assert gone == [items[3].item_id]
        record = await second.get()
        assert (record.input, record.output, record.status) == (None, None, "completed")
        assert await second.result() is None
        assert (await first.get()).output == "you said one"
        assert texts(await listed(app, last_turns=3)) == ["one", "you said one"]
        for reader in (client, app):
            events = [event async for event in reader.flows.handle(second.request_id).events()]
            done = [event.item for event in events if isinstance(event, ItemDone)]
            assert [(item.content, item.removed) for item in done] == [(None, True)] * 2
            assert not [event for event in events if isinstance(event, ItemDelta)]
            ended = events[-1]
            assert isinstance(ended, RequestCompleted)
            assert (ended.output, ended.output_omitted) == (None, True)
            told = [event for event in await session_events(reader) if isinstance(event, ItemRemoved)]
            assert [event.item_id for event in told] == [items[2].item_id, items[3].item_id]
            assert {(event.request_id, event.sequence) for event in told} == {("", 0)}


async def test_a_removal_is_told_live_and_by_audience(
    start_server: StartServer, store_url: str, flow: Flow
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client, server.connect(user="ada") as app:
        await client.sessions.create("remembering", session_id="s")
        [hidden, shown] = await client.sessions.append_items(
            "s", [NewItem("custom", 1, audiences=("history",)), NewItem("custom", 2)]
        )
        snapshot = await app.sessions.snapshot("s")
        async with app.sessions.events("s", after=snapshot.cursor) as events:
            await client.sessions.remove_items("s", newest=2)
            event = await anext(aiter(events))
        assert isinstance(event, ItemRemoved)
        assert event.item_id == shown.item_id
        told = [event for event in await session_events(client) if isinstance(event, ItemRemoved)]
        assert [event.item_id for event in told] == [hidden.item_id, shown.item_id]


async def test_a_failed_request_can_be_emptied(start_server: StartServer, store_url: str, flow: Flow) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        await said(client, "one")
        failed = await client.flows.dispatch("remembering", "fail", {"text": "two"}, session_id="s")
        with pytest.raises(ActionFailed):
            await failed.result()
        assert len(await client.sessions.remove_items("s", newest=1)) == 1
        record = await failed.get()
        assert (record.input, record.status) == (None, "failed")
        assert await recalled(client) == ["one", "you said one"]


async def test_what_a_failure_says_goes_with_the_items(
    start_server: StartServer, store_url: str, flow: Flow
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        run = await client.flows.dispatch("remembering", "refuse", {"text": "canary"}, session_id="s")
        with pytest.raises(ActionFailed):
            await run.result()
        assert len(await client.sessions.remove_items("s", newest=1)) == 1
        with pytest.raises(ActionFailed) as left:
            await run.result()
        failure = left.value.failure
        told = (failure.reason, failure.message, failure.details)
        assert told == ("REFUSED", "removed with the items of the request", None)
        assert "canary" not in str([event async for event in run.events()])
        assert "canary" not in str(await session_events(client))


async def test_a_repeat_adds_and_removes_once(start_server: StartServer, store_url: str, flow: Flow) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        items = [NewItem.message("user", name) for name in "abc"]
        added = await client.sessions.append_items("s", items, idempotency_key="add")
        again = await client.sessions.append_items("s", items, idempotency_key="add")
        assert [item.item_id for item in again] == [item.item_id for item in added]
        assert texts(again) == ["a", "b", "c"]
        removed = await client.sessions.remove_items("s", newest=1, idempotency_key="remove")
        run = await client.flows.dispatch("remembering", "hold", {"text": "x"}, session_id="s")
        async for _ in run.events(types=("status",)):
            break
        assert await client.sessions.remove_items("s", newest=1, idempotency_key="remove") == removed
        assert removed == [added[2].item_id]
        await run.cancel()


async def test_unknown_items_are_not_found(start_server: StartServer, store_url: str, flow: Flow) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        await client.sessions.create("remembering", session_id="t")
        [other] = await client.sessions.append_items("t", [NewItem("custom", 1)])
        [own] = await client.sessions.append_items("s", [NewItem("custom", 1)])
        selections: tuple[dict[str, Any], ...] = (
            {"ids": [own.item_id, other.item_id]},
            {"ids": ["item_never"]},
            {"after": other.item_id},
            {"after": "item_never"},
        )
        for selection in selections:
            with pytest.raises(NotFound) as refusal:
                await client.sessions.remove_items("s", **selection)
            assert refusal.value.reason == "ITEM_NOT_FOUND"
        assert [item.item_id for item in await listed(client)] == [own.item_id]


async def test_many_remove_one_turn_at_once(start_server: StartServer, store_url: str, flow: Flow) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        added = await client.sessions.append_items("s", [NewItem("custom", n) for n in range(12)])
        removed = await asyncio.gather(*(client.sessions.remove_items("s", [item.item_id]) for item in added))
        assert sorted(item_id for [item_id] in removed) == sorted(item.item_id for item in added)
        await said(client, "after")
        assert texts(await listed(client, last_turns=2)) == ["after", "you said after"]
        assert await client.sessions.remove_items("s", newest=9) != []
        assert await listed(client, last_turns=2) == []


async def test_two_servers_remove_from_one_turn(
    start_server: StartServer, shared_url: str, flow: Flow
) -> None:
    servers = [await start_server(flow, store=shared_url) for _ in range(2)]
    async with (
        servers[0].connect(plane="trusted", user="ada") as one,
        servers[1].connect(plane="trusted", user="ada") as other,
    ):
        await one.sessions.create("remembering", session_id="s")
        run = await said(one, "x")
        items = await listed(one)
        await asyncio.gather(
            *(
                client.sessions.remove_items("s", [item.item_id])
                for client, item in zip((one, other), items, strict=True)
            )
        )
        assert (await run.get()).input is None
        assert await listed(other, last_turns=1) == []


async def test_a_run_keeps_the_window_that_it_has_loaded(
    start_server: StartServer, store_url: str, flow: Flow, held: Held
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        await said(client, "one")
        run = await client.flows.dispatch("remembering", "hold", {"text": "x"}, session_id="s")
        async for _ in run.events(types=("status",)):
            break
        items = await listed(client)
        await client.sessions.remove_items("s", [items[0].item_id, items[1].item_id])
        held.opened.set()
        assert await run.result() == ["one", "you said one", "x before", "x after"]
        assert await recalled(client) == ["x before", "x after"]


async def test_what_the_client_does_not_send(start_server: StartServer, flow: Flow) -> None:
    server = await start_server(flow)
    async with server.connect(plane="trusted", user="ada") as client:
        await client.sessions.create("remembering", session_id="s")
        for selection in ({}, {"ids": ["a"], "newest": 1}, {"newest": 1, "after": "a"}):
            with pytest.raises(ValueError, match="exactly one"):
                await client.sessions.remove_items("s", **selection)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="audience"):
            await client.sessions.append_items("s", [NewItem("custom", 1, audiences=["all"])])
        with pytest.raises(ValueError, match="not a JSON value"):
            await client.sessions.append_items("s", [NewItem("custom", object())])
        with pytest.raises(ValueError, match="at least one"):
            await client.sessions.append_items("s", [])
        for wrong in (NewItem("note", 1), NewItem("message", 1)):
            with pytest.raises(ValidationFailed):
                await client.sessions.append_items("s", [wrong])
        [item] = await client.sessions.append_items("s", [NewItem("custom", None)])
        assert await client.sessions.remove_items("s", item.item_id) == [item.item_id]


async def test_clients_may_not_write_it(start_server: StartServer, flow: Flow) -> None:
    server = await start_server(flow)
    async with server.connect(user="ada") as app, server.connect(plane="trusted", user="eve") as eve:
        await app.sessions.create("remembering", session_id="s")
        for client, error in ((app, PermissionDenied), (eve, SessionNotFound)):
            with pytest.raises(error):
                await client.sessions.append_items("s", [NewItem("custom", 1)])
            with pytest.raises(error):
                await client.sessions.remove_items("s", newest=1)
