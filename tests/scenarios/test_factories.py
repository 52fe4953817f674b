"""Fields whose ``default_factory`` gives another value each time: made once for each record, for everybody the same."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, create_model

from flowstate_client import FlowStateClient, InternalError, SchemaViolation
from flowstate_server.errors import FlowDefinitionError, StateFieldAbsentError
from flowstate_server.flows import ClientView, Context, Org, Session, User, action, define_flow, handler
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.flow_tester import FlowTester, run_flow
from flowstate_server.testing.server import running_server
from tests.support.store_urls import ALL, NewStore


class Stamp(BaseModel):
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Conversation(BaseModel):
    n: int = 0
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)
    begun: Stamp = Field(default_factory=Stamp)
    tags: list[str] = Field(default_factory=list)


class Person(BaseModel):
    secret: uuid.UUID = Field(default_factory=uuid.uuid4)
    visits: int = 0


class Call(BaseModel):
    nonce: str = Field(default_factory=lambda: uuid.uuid4().hex)


class Seen(BaseModel):
    session: list[str]
    user: list[str]
    org: list[str]
    request: list[str]


@handler(session_state=Conversation, user_state=Person, org_state=Person, request_state=Call)
async def look(_: None, ctx: Context[Conversation, Person, Person, Call]) -> Seen:
    """What a run sees before and after writes and reads of the store."""
    seen = Seen(session=[], user=[], org=[], request=[])
    for _once_again in range(2):
        seen.session.append(f"{ctx.session.state.token} {ctx.session.state.begun.at}")
        seen.user.append(str(ctx.user.state.secret))
        seen.org.append("" if ctx.org is None else str(ctx.org.state.secret))
        seen.request.append(ctx.request.state.nonce)
        await ctx.session.inc_state(n=1)
        await ctx.session.refresh()
        await ctx.user.refresh()
    return seen


@handler(session_state=Conversation, user_state=Person)
async def forget(_: None, ctx: Context[Conversation, Person]) -> None:
    await ctx.session.unset_state("token")
    await ctx.user.unset_state("secret")
    with pytest.raises(StateFieldAbsentError):
        ctx.session.state.token  # noqa: B018 - reading it is the point


@handler(session_state=Conversation)
async def nothing(_: None, ctx: Context[Conversation]) -> None:
    pass


flow = define_flow(
    "made",
    actions={"look": action(block=look), "forget": action(block=forget), "nothing": action(block=nothing)},
    session=Session(client=ClientView(expose=["token", "begun", "n"])),
    user=User(client=ClientView(expose=["secret"])),
    org=Org(client=ClientView(expose=["secret"])),
)


async def looked(client: FlowStateClient, session: str) -> Seen:
    seen = Seen.model_validate(
        await client.flows.call("made", "look", None, session_id=session, timeout=20.0)
    )
    for values in (seen.session, seen.user, seen.org, seen.request):
        assert len(set(values)) == 1
    return seen


async def test_f6_one_value_a_record_for_blocks_snapshots_and_get_state(
    start_server: StartServer, store_url: str
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(user="ada", org="acme", plane="trusted") as client:
        first, again = await looked(client, "s"), await looked(client, "s")
        assert (again.session, again.user, again.org) == (first.session, first.user, first.org)
        assert again.request != first.request
        other = await looked(client, "other")
        assert (other.user, other.org) == (first.user, first.org)
        assert other.session != first.session
        stored = await client.state.session("s").get()
        assert (await client.state.session("s").get()).state == stored.state
        shown = (await client.sessions.snapshot("s")).client_data
        assert shown["session"] == {name: stored.state[name] for name in ("token", "begun", "n")}
        assert [shown["user"]["secret"]] * 2 == first.user
        assert [shown["org"]["secret"]] * 2 == first.org


async def test_f6_what_is_made_is_a_version_in_the_commit_of_the_dispatch_and_no_event(
    start_server: StartServer, store_url: str
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(user="ada", plane="trusted") as client:
        run = await client.flows.dispatch("made", "nothing", None, session_id="s")
        assert [event.type async for event in run.events()] == [
            "request.created",
            "request.in_progress",
            "block.started",
            "block.completed",
            "request.completed",
        ]
        session, user = (
            await client.state.session("s").get(),
            await client.state.user("ada", flow_kind="made").get(),
        )
        assert (session.version, set(session.state)) == (1, {"n", "token", "begun", "tags"})
        assert (user.version, set(user.state)) == (1, {"secret", "visits"})
        await client.flows.call("made", "nothing", None, session_id="s")
        assert (await client.state.session("s").get()).version == 1
        assert (await client.state.user("ada", flow_kind="made").get()).version == 1


async def test_f6_a_created_session_has_its_values_and_a_shared_record_once_a_request_began(
    start_server: StartServer, store_url: str
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(user="ada", plane="trusted") as client:
        created = await client.sessions.create("made", session_id="s", idempotency_key="once")
        again = await client.sessions.create("made", session_id="s", idempotency_key="once")
        assert again.id == created.id == "s"
        session = await client.state.session("s").get()
        assert session.version == 1
        person = client.state.user("ada", flow_kind="made")
        assert (await person.get()).version == 0
        assert "secret" not in (await client.sessions.snapshot("s")).client_data["user"]
        await person.patch_state(visits=3)
        assert (await person.get()).state == {"visits": 3}
        seen = await looked(client, "s")
        assert seen.session[0].startswith(session.state["token"])
        after = await person.get()
        assert (after.version, after.state) == (2, {"secret": seen.user[0], "visits": 3})


async def test_f6_unset_is_absent_until_the_next_dispatch_makes_it_anew(
    start_server: StartServer, store_url: str
) -> None:
    server = await start_server(flow, store=store_url)
    async with server.connect(user="ada", plane="trusted") as client:
        first = await looked(client, "s")
        await client.flows.call("made", "forget", None, session_id="s")
        assert "token" not in (await client.state.session("s").get()).state
        assert "secret" not in (await client.sessions.snapshot("s")).client_data["user"]
        second = await looked(client, "s")
        assert second.session != first.session
        assert second.user != first.user
        await client.state.session("s").set_state({"n": 5})
        assert (await client.state.session("s").get()).state == {"n": 5, "tags": []}
        third = await looked(client, "s")
        assert third.session != second.session
        assert third.user == second.user


async def test_f6_values_outlast_the_server(start_server: StartServer, durable_url: str) -> None:
    async with running_server(flow, store=durable_url) as server, server.connect(user="ada") as client:
        before = await looked(client, "s")
    server = await start_server(flow, store=durable_url)
    async with server.connect(user="ada") as client:
        after = await looked(client, "s")
    assert (after.session, after.user) == (before.session, before.user)


async def test_f6_racing_first_dispatches_of_two_servers_agree(
    start_server: StartServer, shared_url: str
) -> None:
    servers = [await start_server(flow, store=shared_url) for _ in range(2)]
    async with servers[0].connect(user="ada") as one, servers[1].connect(user="ada") as other:
        for number in range(5):
            clients = (one, other, one, other)
            seen = await asyncio.gather(*(looked(client, f"s{number}") for client in clients))
            assert len({(each.session[0], each.user[0]) for each in seen}) == 1


broken: dict[str, Callable[[], str]] = {}
calls: Iterator[int] = itertools.count()


def made() -> str:
    next(calls)
    if "made" in broken:
        return broken["made"]()
    return uuid.uuid4().hex


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    yield
    broken.clear()


def slowly(token: str) -> str:
    if token == "slow":
        time.sleep(0.6)
    return token


class Fragile(BaseModel):
    token: Annotated[str, AfterValidator(slowly)] = Field(default_factory=made, max_length=64)
    n: int = 0


@handler(session_state=Fragile)
async def use(_: None, ctx: Context[Fragile]) -> str:
    await ctx.session.inc_state(n=1)
    return ctx.session.state.token


fragile = define_flow("fragile", actions={"use": action(block=use)})
steady = define_flow("steady", actions={"nothing": action(block=nothing)})


def throw(error: BaseException) -> Callable[[], str]:
    def throwing() -> str:
        raise error

    return throwing


def late() -> str:
    time.sleep(3.0)
    return "late"


FAILURES: dict[str, Callable[[], str]] = {
    "exception": throw(LookupError("a canary")),
    "exit": throw(SystemExit("a canary")),
    "interrupt": throw(KeyboardInterrupt()),
    "generator exit": throw(GeneratorExit()),
    "cancelled": throw(asyncio.CancelledError()),
    "stop iteration": throw(StopIteration("a canary")),
    "group": throw(BaseExceptionGroup("a canary", [SystemExit(1)])),
    "sleep": late,
    "no JSON": object,  # type: ignore[dict-item]
}


@pytest.mark.parametrize(
    ("store", "how"),
    [(store, how) for store in ALL for how in (FAILURES if store == "memory" else ("exit", "sleep"))],
)
async def test_f6_a_factory_that_fails_refuses_its_call_by_name_and_hurts_nobody(
    store: str, how: str, start_server: StartServer, new_store: NewStore, caplog: pytest.LogCaptureFixture
) -> None:
    server = await start_server([fragile, steady], store=await new_store(store))
    async with server.connect(user="ada", plane="trusted") as client:
        broken["made"] = FAILURES[how]
        dispatch = asyncio.create_task(
            client.flows.call("fragile", "use", None, session_id="s", request_id="r")
        )
        assert await client.flows.call("steady", "nothing", None, timeout=2.0) is None
        create = client.sessions.create("fragile", session_id="t")
        for refused in await asyncio.gather(dispatch, create, return_exceptions=True):
            assert isinstance(refused, InternalError)
            assert "canary" not in str(refused)
        assert 'the default_factory of session field "token"' in caplog.text
        assert [one async for one in client.sessions.list(flow_kind="fragile")] == []
        if how == "sleep":
            await asyncio.sleep(2.0)  # nothing ends a thread
        broken.clear()
        token = await client.flows.call("fragile", "use", None, session_id="s", request_id="r", timeout=20.0)
        assert (await client.state.session("s").get()).state == {"token": token, "n": 1}


async def test_f6_a_value_that_does_not_fit_refuses_the_call_and_stores_nothing() -> None:
    async with running_server(fragile) as server, server.connect(user="ada", plane="trusted") as client:
        broken["made"] = lambda: "canary" * 20
        with pytest.raises(Exception, match="/token") as refused:
            await client.flows.call("fragile", "use", None, session_id="s")
        assert "canary" not in str(refused.value)
        assert [one async for one in client.sessions.list()] == []


@pytest.mark.usefixtures("no_collections")
async def test_f6_a_slow_validator_of_what_is_made_refuses_the_call_and_holds_up_nobody(
    start_server: StartServer, store_url: str
) -> None:
    server = await start_server([fragile, steady], store=store_url)
    async with server.connect(user="ada", plane="trusted") as client:
        await client.flows.call("steady", "nothing", None)
        broken["made"] = lambda: "slow"
        refused = asyncio.create_task(client.flows.call("fragile", "use", None, session_id="s"))
        served = 0
        while not refused.done():
            await client.flows.call("steady", "nothing", None)
            served += 1
        assert served >= 3
        with pytest.raises(SchemaViolation, match="/token") as error:
            await refused
        assert [one.field for one in error.value.field_violations] == ["/token"]
        assert [one async for one in client.sessions.list(flow_kind="fragile")] == []


async def test_f6_a_factory_is_called_for_absent_fields_alone() -> None:
    async with FlowTester(fragile) as tester:
        await tester.run("use", None, session_id="s")
        before = next(calls)
        for _ in range(3):
            await tester.run("use", None, session_id="s")
        assert next(calls) == before + 1
        given = await tester.run("use", None, session_state={"token": "given"})
        assert (given.session.state, next(calls)) == ({"token": "given", "n": 1}, before + 3)


async def test_f6_presets_of_a_request_leave_what_was_made() -> None:
    run = await run_flow(flow, "look", None, request_state={})
    assert len(run.request.state.nonce) == 32


def test_f6_a_factory_that_fails_where_the_flow_is_built_is_told_by_its_field() -> None:
    def fails() -> str:
        raise SystemExit(2)

    model: Any = create_model("Broken", token=(str, Field(default_factory=fails)))

    @handler(session_state=model)
    async def block(_: None, ctx: Context) -> None: ...

    with pytest.raises(FlowDefinitionError, match=r"Broken\.token: .*raised SystemExit"):
        define_flow("broken", actions={"block": action(block=block)})


def test_f6_a_factory_of_other_fields_is_refused_with_the_way_out() -> None:
    model: Any = create_model("Late", n=(int, 0), m=(int, Field(default_factory=lambda data: data["n"])))

    @handler(session_state=model)
    async def block(_: None, ctx: Context) -> None: ...

    with pytest.raises(FlowDefinitionError, match=r"Late\.m: .*write it in the block"):
        define_flow("late", actions={"block": action(block=block)})
