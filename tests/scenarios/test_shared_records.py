"""Flows that share a user's or an org's record, and flows that keep one of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_client import ApiError, FlowStateClient
from flowstate_server.app import store_from_url
from flowstate_server.flows import Context, Flow, Org, User, action, define_flow, handler
from flowstate_server.model.scopes import ScopeKey, org_scope, user_scope
from flowstate_server.testing.fixtures import StartServer
from tests.support.store_urls import ALL, SHARED, NewStore

SESSIONS = 100


class Theme(BaseModel):
    theme: str = "light"


class Chats(Theme):
    said: int = 0
    topics: dict[str, int] = {}


class Orders(Theme):
    bought: int = 0
    articles: list[int] = []


@handler(user_state=Chats, org_state=Chats)
async def say(topic: str, ctx: Context[Any, Chats, Chats]) -> int:
    await ctx.user.inc_state(said=1)
    await ctx.user.set_state_record("topics", topic, 1)
    if ctx.org is not None:
        await ctx.org.inc_state(said=1)
    return ctx.user.state.said


@handler(user_state=Orders)
async def buy(article: int, ctx: Context[Any, Orders]) -> int:
    async with ctx.user.batch() as batch:
        batch.inc_state(bought=1)
        batch.push_state("articles", article)
    return ctx.user.state.bought


@handler(user_state=Orders)
async def start_over(_: None, ctx: Context[Any, Orders]) -> None:
    await ctx.user.set_state(Orders(theme="dark"))


def chat(**options: Any) -> Flow:
    parts: Any = {"user": User(state=Chats), "org": Org(state=Chats), **options}
    return define_flow("chat", actions={"say": action(block=say)}, **parts)


def shop(**options: Any) -> Flow:
    actions: Any = {"buy": action(block=buy), "start_over": action(block=start_over)}
    return define_flow("shop", actions=actions, user=User(state=Orders), **options)


@pytest.mark.parametrize(("kind", "count"), [*((kind, 1) for kind in ALL), *((kind, 2) for kind in SHARED)])
async def test_what_two_flows_write_to_one_user_from_many_sessions_all_lands(
    start_server: StartServer, new_store: NewStore, kind: str, count: int
) -> None:
    url = await new_store(kind)
    servers = [await start_server([chat(), shop()], store=url) for _ in range(count)]
    clients = [server.connect(user="ada", plane="trusted") for server in servers]
    for client in clients:
        await client.__aenter__()
    try:
        async with asyncio.timeout(50), asyncio.TaskGroup() as group:
            for number in range(SESSIONS):
                client = clients[number % count]
                if number // count % 2:
                    group.create_task(client.flows.call("shop", "buy", number, session_id=f"s{number}"))
                else:
                    group.create_task(client.flows.call("chat", "say", f"t{number}", session_id=f"s{number}"))
        state = (await clients[-1].state.user("ada").get()).state
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)
    assert (state["said"], state["bought"]) == (SESSIONS // 2, SESSIONS // 2)
    assert len(state["topics"]) == len(state["articles"]) == SESSIONS // 2
    assert {f"t{number}" for number in range(SESSIONS)} - state["topics"].keys() == {
        f"t{number}" for number in state["articles"]
    }


async def test_a_flow_keeps_what_others_wrote_and_may_not_write_it(
    start_server: StartServer, store_url: str
) -> None:
    server = await start_server([chat(), shop()], store=store_url)
    async with server.connect(user="ada", plane="trusted") as client:
        await client.flows.call("chat", "say", "tea")
        assert await client.flows.call("shop", "buy", 7) == 1
        await client.flows.call("shop", "start_over", None)
        state = (await client.state.user("ada").get()).state
        assert (state["said"], state["topics"]) == (1, {"tea": 1})
        assert (state["theme"], state["bought"]) == ("dark", 0)
        with pytest.raises(ApiError, match="/said: is not declared by this flow") as refused:
            await client.state.user("ada", flow_kind="shop").patch_state(said=9)
        assert refused.value.reason == "SCHEMA_VIOLATION"
        assert await client.flows.call("chat", "say", "tea") == 2


async def stored(url: str, *keys: ScopeKey) -> list[dict[str, Any]]:
    store = store_from_url(url)
    await store.open()
    try:
        found = await store.load_states(keys)
        return [found[key].state if found[key].exists else {} for key in keys]
    finally:
        await store.close()


async def said(client: FlowStateClient, topic: str) -> None:
    await client.flows.call("chat", "say", topic, org_id="acme")


ISOLATED: dict[str, Any] = {"isolate_user_state": True}
USERS = (user_scope("ada"), user_scope("ada", isolated_flow="chat"))
ORGS = (org_scope("acme"), org_scope("acme", isolated_flow="chat"))


@pytest.mark.parametrize("kind", ALL)
async def test_flipping_the_flag_moves_nothing(
    start_server: StartServer, new_store: NewStore, kind: str
) -> None:
    """The user's record is isolated and shared again; the org's stays shared: the flags are independent."""
    url = await new_store(kind)
    if kind == "memory":
        await flip_in_memory(start_server)
        return
    for options, users, org in (
        ({}, [1, None], 1),
        (ISOLATED, [1, 1], 2),
        (ISOLATED, [1, 2], 3),
        ({}, [2, 2], 4),
    ):
        server = await start_server([chat(**options), shop()], store=url)
        async with server.connect(user="ada", plane="trusted") as client:
            await said(client, "tea")
            await client.flows.call("shop", "buy", 1)
        await server.stop()
        kept = await stored(url, *USERS, *ORGS)
        assert [state.get("said") for state in kept[:2]] == users
        assert [state.get("said") for state in kept[2:]] == [org, None]
        assert "bought" not in kept[1]


async def flip_in_memory(start_server: StartServer) -> None:
    store = store_from_url("memory")
    for options, users in (({}, [1, None]), (ISOLATED, [1, 1]), ({}, [2, 1])):
        server = await start_server(chat(**options), store=store)
        async with server.connect(user="ada", plane="trusted") as client:
            await said(client, "tea")
        records = await store.load_states(USERS)
        assert [records[key].state.get("said") for key in USERS] == users
        await server.stop()


async def test_the_flags_are_independent(start_server: StartServer, store_url: str) -> None:
    alone: Any = {"isolate_org_state": True}
    server = await start_server([chat(**alone), shop()], store=store_url)
    async with server.connect(user="ada", plane="trusted") as client:
        await said(client, "tea")
    records = await server.engine.store.load_states((*USERS, *ORGS))
    assert [records[key].exists for key in (*USERS, *ORGS)] == [True, False, False, True]
