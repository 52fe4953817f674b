"""What a deploy shows of values that an older one stored: what its own schema reads of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, StringConstraints, create_model

from flowstate_client import Scope
from flowstate_server.flows import (
    ClientView,
    Context,
    Flow,
    Session,
    User,
    View,
    action,
    define_flow,
    handler,
)
from flowstate_server.model.json_values import same_json
from flowstate_server.testing.fixtures import StartServer

Lower = Annotated[str, AfterValidator(str.lower)]
Masked = Annotated[str, AfterValidator(lambda text: "***" + text[-2:])]


class Colour(Enum):
    RED = "red"


class Old(BaseModel):
    name: str
    gone: str = "c4nary"


class Person(BaseModel):
    name: Masked
    level: int = 1


def flow(fields: dict[str, Any]) -> Flow:
    """A flow that keeps values of these types for the session and for the user."""
    types: Any = {name: (kind, ...) for name, kind in fields.items()}
    state = create_model("Kept", **types, n=(int, 0))

    @handler(session_state=state)
    async def bump(value: None, ctx: Context[Any]) -> Any:
        await ctx.session.inc_state(n=1)
        return ctx.session.state.model_dump(mode="json")

    @handler(session_state=state)
    async def given(value: None, ctx: Context[Any]) -> Any:
        return ctx.session.state

    view = ClientView(expose=[*fields, "n"], derived={"whole": whole})
    return define_flow(
        "vault",
        actions={"bump": action(block=bump), "given": action(block=given)},
        session=Session(state=state, client=view),
        user=User(state=state, client=view),
    )


def whole(view: View[Any]) -> Any:
    return view.state.model_dump()


# Of each field the type that stored it, what that stored, today's type, and what this reads.
KINDS: dict[str, tuple[Any, Any, Any, Any]] = {
    "mask": (str, "SECRET", Masked, "***ET"),
    "lower": (str, "SECRET", Lower, "secret"),
    "strip": (str, " x ", Annotated[str, StringConstraints(strip_whitespace=True)], "x"),
    "truncate": (str, "SECRET", Annotated[str, AfterValidator(lambda text: text[:3])], "SEC"),
    "clamp": (int, 99, Annotated[int, AfterValidator(lambda n: min(n, 10))], 10),
    "number": (int, 3, float, 3.0),
    "unordered": (list[str], ["b", "a", "b"], set[str], ["a", "b"]),
    "items": (list[str], ["AB", "CD"], list[Masked], ["***AB", "***CD"]),
    "keys": (dict[str, int], {"SECRET": 1}, dict[Lower, int], {"secret": 1}),
    "values": (dict[str, str], {"a": "SECRET"}, dict[str, Masked], {"a": "***ET"}),
    "nested": (Old, {"name": "SECRET", "gone": "c4nary"}, Person, {"name": "***ET", "level": 1}),
    "either": (str, "SECRET", Masked | None, "***ET"),
    "choice": (str, "red", Colour, "red"),
    "same": (str, "SECRET", str, "SECRET"),
}


async def test_f5_what_is_shown_of_a_stored_value_is_what_todays_schema_reads(
    start_server: StartServer, durable_url: str
) -> None:
    stored = {name: kind[1] for name, kind in KINDS.items()}
    read = {name: kind[3] for name, kind in KINDS.items()}
    first = await start_server(flow({name: kind[0] for name, kind in KINDS.items()}), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("vault")).id
        await client.state.session(session).patch_state(**stored)
        await client.state.user("ada", flow_kind="vault").patch_state(**stored)
        assert (await client.state.session(session).get()).state == {**stored, "n": 0}
    await first.stop()
    second = await start_server(flow({name: kind[2] for name, kind in KINDS.items()}), store=durable_url)
    async with second.connect(user="ada", plane="trusted") as trusted, second.connect(user="ada") as client:
        for n in range(3):
            now = {**read, "n": n}
            for plane in (client, trusted, client):
                snapshot = await plane.sessions.snapshot(session)
                assert not any(snapshot.failures.values())
                assert same_json(snapshot.client_data["session"], {**now, "whole": now})
                at_first = {**read, "n": 0}
                assert same_json(snapshot.client_data["user"], {**at_first, "whole": at_first})
            for _ in range(2):
                record = await trusted.state.session(session).get()
                assert same_json(record.state, now)
                assert record.version == n + 1
                user = await trusted.state.user("ada", flow_kind="vault").get()
                assert same_json(user.state, {**read, "n": 0})
            assert same_json(await client.flows.call("vault", "given", None, session_id=session), now)
            told = await client.flows.call("vault", "bump", None, session_id=session)
            assert {**told, "unordered": sorted(told["unordered"])} == {**read, "n": n + 1}
        write = await trusted.state.session(session).patch_state(mask="***ET", keys={"Secret": 1})
        assert write.changed, "stored is another value than is shown"
        assert (await trusted.state.session(session).get()).state == {**read, "n": 3}


@handler
async def idle(value: None, ctx: Context[Any]) -> None:
    """There must be something to call."""


def failing(problem: type[BaseException]) -> Callable[[str], str]:
    def fail(text: str) -> str:
        raise problem("c4nary")

    return fail


@pytest.mark.parametrize("problem", [ValueError, ZeroDivisionError, SystemExit])
async def test_f5_a_field_that_can_not_be_read_fails_alone_and_stays_as_it_is_for_the_trusted(
    start_server: StartServer, durable_url: str, problem: type[BaseException]
) -> None:
    class Before(BaseModel):
        ph: str = ""
        other: str = ""
        low: int = 0

    class After(BaseModel):
        ph: Annotated[str, AfterValidator(failing(problem))]
        other: Masked = ""
        low: Annotated[int, Field(le=10)] = 0

    def deploy(state: type[BaseModel]) -> Flow:
        view = ClientView(expose=["ph", "other", "low"])
        return define_flow(
            "vault", actions={"idle": action(block=idle)}, session=Session(state=state, client=view)
        )

    first = await start_server(deploy(Before), store=durable_url)
    async with first.connect(user="ada", plane="trusted") as client:
        session = (await client.sessions.create("vault")).id
        await client.state.session(session).patch_state(ph="SECRET", other="SECRET", low=99)
    await first.stop()
    second = await start_server(deploy(After), store=durable_url)
    async with second.connect(user="ada", plane="trusted") as trusted, second.connect(user="ada") as client:
        for plane in (client, trusted) * 2:
            snapshot = await plane.sessions.snapshot(session)
            assert snapshot.client_data["session"] == {"other": "***ET"}
            failures = snapshot.failures[Scope.SESSION]
            assert failures.keys() == {"ph", "low"}
            assert "c4nary" not in repr(failures)
            assert failures["ph"].error_id
            record = await trusted.state.session(session).get()
            assert record.state == {"ph": "SECRET", "other": "***ET", "low": 99}
