"""What is validated is what is kept: values by every operation, from blocks and clients, as everybody sees them."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, computed_field

from flowstate_client import FlowStateClient, SchemaViolation
from flowstate_server.errors import FlowStateError
from flowstate_server.flows import ClientView, Context, Flow, Session, action, define_flow, handler
from flowstate_server.testing.flow_tester import run_flow
from flowstate_server.testing.server import running_server


class Public(BaseModel):
    name: str


class Account(Public):
    password_hash: str = "c4nary"


@dataclass
class Point:
    x: int
    tags: set[str] = field(default_factory=set)


class State(BaseModel):
    n: int = 0
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)
    email: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)] = ""
    tags: set[str] = set()
    owner: Public | None = None
    members: list[Public] = []
    by_number: dict[int, Public] = {}
    point: Point | None = None
    points: list[Point] = []
    data: bytes = b""


class Priced(State):
    model_config = ConfigDict(extra="forbid")

    @computed_field
    def twice(self) -> int:
        return self.n * 2


Writer = Callable[[Context[State]], Any]
WRITERS: dict[str, Writer] = {}
EXPOSED = ["token", "email", "tags", "owner", "members", "by_number", "point", "points", "n"]


def writer(function: Writer) -> Writer:
    WRITERS[function.__name__] = function
    return function


@writer
async def everything(ctx: Context[State]) -> None:
    ada, session = Account(name="ada"), ctx.session
    await session.patch_state(owner=ada, tags=session.state.tags | {"b", "a"}, email="  ADA@X.org ")
    await session.push_state("members", ada)
    await session.push_state("tags", "c", "a")
    await session.set_state_record("by_number", 7, ada)
    await session.patch_state(point=Point(1, {"z", "y"}), data=b"abc")
    async with session.batch() as batch:
        batch.push_state("points", Point(2))
        batch.inc_state(n=1)


@writer
async def equal_again(ctx: Context[State]) -> None:
    state = ctx.session.state
    for name in State.model_fields:
        written = await ctx.session.patch_state({name: copy.deepcopy(getattr(state, name))})
        assert not written.changed, name
        assert not (await ctx.session.patch_state({name: getattr(state, name)})).changed, name
    assert not (await ctx.session.atomic_state(lambda now: now)).changed
    assert not (await ctx.session.atomic_state(lambda now: now.model_copy())).changed
    assert not (await ctx.session.patch_state(email=" ADA@x.ORG")).changed


@writer
async def one_of_a_copy(ctx: Context[State]) -> None:
    before = ctx.session.state
    await ctx.session.atomic_state(lambda now: now.model_copy(update={"n": now.n + 1}))

    def grow(now: State) -> State:
        changed = now.model_copy(deep=True)
        changed.tags.add("new")
        return changed

    await ctx.session.atomic_state(grow)
    after = ctx.session.state
    assert after.n == before.n + 1
    assert after.tags == before.tags | {"new"}
    assert after.token == before.token


@writer
async def of_no_use(ctx: Context[State]) -> None:
    async def asynchronous(_: State) -> dict[str, Any]:
        return {}

    for change, problem in (
        (asynchronous, "must not be async"),
        (lambda _: None, "must return what changes"),
    ):
        with pytest.raises(Exception, match=problem) as refused:
            await ctx.session.atomic_state(change)  # type: ignore[arg-type]
        assert not str(refused.value).startswith(":")


@handler(session_state=State)
async def write(name: str, ctx: Context[State]) -> str:
    await WRITERS[name](ctx)
    return ctx.session.state.token


class Bytes(BaseModel):
    f: bytes | None = None


async def test_u3_what_a_write_can_not_take_is_told_by_field_and_way_out() -> None:
    async def asynchronous(state: Bytes) -> dict[str, Any]:
        return {}

    told: list[str] = []

    @handler(session_state=Bytes)
    async def refused(value: None, ctx: Context[Bytes]) -> None:
        writes: list[Callable[[], Awaitable[object]]] = [
            lambda: ctx.session.set_state(Bytes(f=b"\xff")),
            lambda: ctx.session.patch_state(f=b"\xff"),
            lambda: ctx.session.atomic_state(lambda state: None),  # type: ignore[arg-type, return-value]
            lambda: ctx.session.atomic_state(asynchronous),  # type: ignore[arg-type]
        ]
        for write in writes:
            try:
                await write()
            except FlowStateError as error:
                told.append(str(error))

    await run_flow(define_flow("u3", actions={"a": action(block=refused)}), "a", None)
    assert [text.partition(":")[0] for text in told] == [
        "/f",
        "/f",
        "atomic_state",
        told[3].partition(":")[0],
    ]
    assert "must return what changes" in told[2]
    assert "must not be async" in told[3]
    assert not any(text.startswith(":") for text in told)


def flow() -> Flow:
    return define_flow(
        "values",
        actions={"write": action(block=write)},
        session=Session(client=ClientView(expose=EXPOSED)),
    )


async def seen(client: FlowStateClient, session: str) -> Any:
    """The stored state, which is what clients see of it, live and read."""
    stored = (await client.state.session(session).get()).state
    shown = (await client.sessions.snapshot(session)).client_data["session"]
    assert shown == {name: stored[name] for name in EXPOSED if name in stored}
    return stored


async def test_what_blocks_write_is_what_everybody_sees() -> None:
    async with running_server(flow()) as server, server.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("values")).id
        token = (await seen(client, session))["token"]
        tokens = {await client.flows.call("values", "write", name, session_id=session) for name in WRITERS}
        stored = await seen(client, session)
        assert tokens == {stored["token"]} == {token}
        assert stored["tags"] == ["a", "b", "c", "new"]
        assert stored["email"] == "ada@x.org"
        assert stored["owner"] == {"name": "ada"}
        assert stored["members"] == [{"name": "ada"}]
        assert stored["by_number"] == {"7": {"name": "ada"}}
        assert stored["point"] == {"x": 1, "tags": ["y", "z"]}
        assert stored["data"] == "abc"


async def test_clients_write_as_blocks_do() -> None:
    async with running_server(flow()) as server, server.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("values")).id
        state = client.state.session(session, model=State)
        ada = Account(name="ada")
        for _ in range(2):
            await state.patch_state(owner=ada, tags={"b", "a"}, email="  ADA@X.org ", data=b"abc")
            await state.set_state_record("by_number", 7, ada)
            await state.patch_state(point=Point(1, {"z", "y"}))
        written = await state.push_state("tags", "a", "b")
        assert not written.changed
        stored = await seen(client, session)
        assert "c4nary" not in repr(stored)
        assert stored["tags"] == ["a", "b"]
        assert stored["by_number"] == {"7": {"name": "ada"}}
        await state.set_state(Priced(n=5, token="t"))
        assert (await seen(client, session))["n"] == 5
        for wrong in ({"n": 1.5}, {"owner": {"nome": "ada"}}, {"by_number": {"x": ada}}):
            with pytest.raises(SchemaViolation, match=f"/{next(iter(wrong))}"):
                await state.patch_state(wrong)
