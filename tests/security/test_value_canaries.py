"""No byte on the client plane of what the schema of an exposed field does not have: keys that it ignores, members of
subclasses, members and fields that a later deploy took away."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NotRequired

import pytest
from grpc import aio
from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from flowstate.v1 import (
    event_service_pb2 as events,
    flow_service_pb2 as flows,
    session_service_pb2 as sessions,
)
from flowstate_client import FlowStateClient
from flowstate_server.flows import ClientView, Context, Flow, Session
from flowstate_server.testing.fixtures import StartServer, start_server
from flowstate_server.testing.server import RunningServer
from tests.support.canaries import Canaries
from tests.support.hosted import play
from tests.support.raw_answers import Answer, Metadata, call_all
from tests.support.store_urls import ALL, DURABLE, NewStore, new_stores

__all__ = ["start_server"]

OWNER: Metadata = (("x-flowstate-user", "ada"),)


class Person(BaseModel):
    name: str


class Account(Person):
    password_hash: str


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str


class Row(TypedDict):
    name: str


class WideRow(TypedDict):
    name: str
    note: NotRequired[str]


@dataclasses.dataclass
class Spot:
    name: str


@dataclasses.dataclass
class WideSpot(Spot):
    note: str = ""


class Shown(BaseModel):
    owner: Person | None = None
    members: list[Person] = []
    by_name: dict[str, dict[int, Person]] = {}
    queue: deque[Person] = deque()
    row: Row | None = None
    rows: list[Row] = []
    spot: Spot | None = None
    spots: dict[str, Spot] = {}
    pair: tuple[Person, Spot] | None = None
    either: Person | int | None = None


class Wide(BaseModel):
    """An older deploy's."""

    owner: Account | None = None
    members: list[Account] = []
    by_name: dict[str, dict[int, Account]] = {}
    queue: deque[Account] = deque()
    row: WideRow | None = None
    rows: list[WideRow] = []
    spot: WideSpot | None = None
    spots: dict[str, WideSpot] = {}
    pair: tuple[Account, WideSpot] | None = None
    either: Account | int | None = None
    gone: str = ""


def values(account: Any, row: Any, spot: Any) -> dict[str, Any]:
    return {
        "owner": account, "members": [account], "by_name": {"a": {1: account}}, "queue": deque([account]), "row": row,
        "rows": [row], "spot": spot, "spots": {"a": spot}, "pair": (account, spot), "either": account,
    }  # fmt: skip


@pytest.fixture(autouse=True)
async def new_store(tmp_path: Path) -> AsyncIterator[NewStore]:
    async with new_stores(tmp_path) as make:
        yield make


def flow_of(model: type[BaseModel], body: Any) -> Flow:
    exposed = list(model.model_fields)
    session = Session(
        state=model, client=ClientView(expose=exposed, derived={"all": lambda view: repr(view.state)})
    )
    return play(body, session=session, persist_state_changes=True)


async def everything(server: RunningServer, request_id: str) -> list[Answer]:
    """What the owner is told about the session, in whatever way."""
    calls: list[tuple[str, Any]] = [
        ("SessionService/GetSession", sessions.GetSessionRequest(session_id="s1")),
        ("SessionService/GetSnapshot", sessions.GetSnapshotRequest(session_id="s1")),
        ("SessionService/WatchSnapshot", sessions.WatchSnapshotRequest(session_id="s1")),
        ("SessionService/ListSessions", sessions.ListSessionsRequest()),
        ("FlowService/GetActionRequest", flows.GetActionRequestRequest(request_id=request_id)),
        ("EventService/ListEvents", events.ListEventsRequest(request_id=request_id)),
        ("EventService/TailEvents", events.TailEventsRequest(request_id=request_id, replay_only=True)),
    ]
    async with aio.insecure_channel(server.target) as channel:
        return await call_all(channel, calls, OWNER)


def check(answers: list[Answer], canaries: Canaries) -> None:
    found = {answer.method: canaries.found(answer.text) for answer in answers}
    assert not any(found.values()), found
    snapshot = next(answer for answer in answers if answer.method.endswith("GetSnapshot"))
    assert b"ada" in snapshot.text, "what is exposed is there"


@pytest.mark.parametrize("kind", ALL)
async def test_f2_what_the_schema_has_not_is_shown_to_nobody(
    start_server: StartServer, new_store: NewStore, kind: str
) -> None:
    canaries = Canaries()
    account = Account(name="ada", password_hash=canaries("subclass"))
    spot = WideSpot("ada", canaries("dataclass"))
    ignored: dict[str, Any] = {"name": "ada", "secret": canaries("ignored key")}
    given = [values(account, ignored, spot), values(ignored, ignored, ignored)]

    async def body(ctx: Context[Any, Any, Any, Any]) -> None:
        for fields in given:
            await write_all(ctx.session, fields)
            await ctx.session.atomic_state(partial(copied, fields))
            await ctx.session.unset_state(*fields)
            await ctx.session.atomic_state(partial(changed, fields))

    server = await start_server(flow_of(Shown, body), store=await new_store(kind))
    async with server.connect(user="ada", plane="trusted") as client:
        run = await run_play(client)
        check(await everything(server, run), canaries)
        for fields in given:
            await write_all(client.state.session("s1"), fields)
        check(await everything(server, run), canaries)
        assert canaries.found((await client.state.session("s1").get()).raw) == set(), "nor is it stored"


def copied(fields: dict[str, Any], state: Any) -> Any:
    return state.model_copy(update=fields)


def changed(fields: dict[str, Any], state: Any) -> Any:
    return fields


async def write_all(scope: Any, fields: dict[str, Any]) -> None:
    await scope.patch_state(fields)
    await scope.push_state("members", fields["owner"])
    await scope.set_state_record("spots", "b", fields["spot"])
    async with scope.batch() as batch:
        batch.set_state(fields)
        batch.push_state("rows", fields["row"])


async def run_play(client: FlowStateClient) -> str:
    await client.sessions.create("play", session_id="s1")
    run = await client.flows.dispatch("play", "play", session_id="s1")
    await run.result(timeout=20)
    return run.request_id


@pytest.mark.parametrize("kind", DURABLE)
async def test_f2_what_a_later_deploy_took_away_is_shown_to_nobody(
    start_server: StartServer, new_store: NewStore, kind: str
) -> None:
    canaries = Canaries()
    account = Account(name="ada", password_hash=canaries("member"))
    row = {"name": "ada", "note": canaries("key of a typed dict")}
    fields = {**values(account, row, WideSpot("ada", canaries("dataclass"))), "gone": canaries("field")}

    async def body(ctx: Context[Any, Any, Any, Any]) -> None:
        await ctx.session.patch_state(fields)

    async def later(ctx: Context[Any, Any, Any, Any]) -> Any:
        await ctx.session.push_state("members", Person(name="bob"))
        return [ctx.session.state, ctx.session.state.owner]

    url = await new_store(kind)
    before = await start_server(flow_of(Wide, body), store=url)
    async with before.connect(user="ada", plane="trusted") as client:
        run = await run_play(client)
    assert {place for answer in await everything(before, run) for place in canaries.found(answer.text)}
    await before.stop()
    after = await start_server(flow_of(Shown, later), store=url)
    check(await everything(after, run), canaries)
    async with after.connect(user="ada", plane="trusted") as client:
        again = await client.flows.dispatch("play", "play", session_id="s1")
        await again.result(timeout=20)
    check(await everything(after, again.request_id), canaries)
    check(await everything(after, run), canaries)
