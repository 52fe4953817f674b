"""Code that takes its time over a value: the write is refused by name, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)

from flowstate_client import SchemaViolation
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import StateValidationError
from flowstate_server.flows import Block, Context, Org, Session, User, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.state.code_time import MOST_SECONDS, TOO_SLOW
from flowstate_server.testing.server import running_server
from tests.support.store_urls import ALL, new_store_url

pytestmark = pytest.mark.usefixtures("no_collections")

LEASE = 1.0
SLEEP = 20.0
ENOUGH = 5.0
"""Within which everything is answered that does not wait for the validator."""

awake = threading.Event()
awake.set()  # building a flow calls the factories


@pytest.fixture(autouse=True)
def woken() -> Iterator[None]:
    awake.clear()
    yield
    awake.set()


def _sleep(text: str) -> str:
    if text == "slow":
        awake.wait(SLEEP)
    return text


def _made() -> str:
    return _sleep("slow")


class Nested(BaseModel):
    made: str = Field(default_factory=_made)


Slow = Annotated[str, AfterValidator(_sleep)]


def _doze(text: str) -> str:
    """For longer than it may take, each time that it is called."""
    if text == "slow":
        time.sleep(2 * MOST_SECONDS)
        awake.wait(SLEEP)
    return text


class State(BaseModel):
    text: Slow = ""
    quick: Annotated[str, AfterValidator(str)] = ""
    notes: list[Slow] = []
    by: dict[str, Slow] = {}
    nested: Nested | None = None
    shown: Annotated[str, PlainSerializer(_doze)] = ""
    count: int = 0


class Whole(BaseModel):
    one: str = ""
    other: str = ""

    @model_validator(mode="after")
    def check(self) -> Whole:
        _sleep(self.one)
        return self


class Siblings(BaseModel):
    first: str = ""
    second: str = ""

    @field_validator("second")
    @classmethod
    def check(cls, text: str, info: ValidationInfo) -> str:
        return _sleep(text)


async def _refused(write: Any) -> list[str]:
    try:
        await write
    except StateValidationError as error:
        return [f"{violation.path} {violation.rule}" for violation in error.violations]
    return ["taken"]


@handler(session_state=State)
async def write_async(value: str, ctx: Context[State]) -> list[str]:
    return await _refused(ctx.session.patch_state(text=value, quick="q", count=1))


@handler(session_state=State)
def write_sync(value: str, ctx: Context[State]) -> list[str]:
    return ctx.run(_refused(ctx.session.patch_state(text=value, quick="q", count=1)))


@handler(session_state=State)
async def write_atomic(value: str, ctx: Context[State]) -> list[str]:
    return await _refused(ctx.session.atomic_state(lambda state: {"text": value}))


@handler(session_state=State)
async def write_shown(value: str, ctx: Context[State]) -> list[str]:
    return await _refused(ctx.session.patch_state(shown=value))


@handler(session_state=State)
async def count(value: None, ctx: Context[State]) -> int:
    """Works for two leases."""
    for _ in range(20):
        await ctx.session.inc_state(count=1)
        await asyncio.sleep(LEASE / 10)
    return ctx.session.state.count


class Given(BaseModel):
    text: Slow = ""


@handler
async def give(value: Given, ctx: Context) -> str:
    return value.text


WRITES: dict[str, Block[str, list[str]]] = {
    "async": write_async,
    "sync": write_sync,
    "atomic_state": write_atomic,
}
flow = define_flow(
    "slow",
    session=Session(state=State),
    user=User(state=Whole),
    org=Org(state=Siblings),
    actions={
        **{name: action(block=block) for name, block in WRITES.items()},
        "count": action(block=count),
        "give": action(block=give),
        "shown": action(block=write_shown),
    },
)


@pytest.mark.parametrize("store", ALL)
async def test_a3_nobody_waits_for_a_validator_that_sleeps(store: str, tmp_path: Path) -> None:
    """In writes of blocks and of a client, all at once: they are refused by name, others commit, no lease is lost."""
    async with (
        new_store_url(store, tmp_path) as url,
        running_server(flow, store=url, settings=EngineSettings(lease=Seconds(LEASE))) as server,
        server.connect(user="u", plane="trusted", tenant="one") as client,
        server.connect(user="v", plane="trusted", tenant="other") as other,
    ):
        await client.flows.call("slow", "async", "quick", session_id="wire")
        await other.flows.call("slow", "async", "quick", session_id="s")
        before = server.engine.instance_id
        neighbour = await other.flows.dispatch("slow", "count", None, session_id="beside")
        began = time.monotonic()
        blocks = [await client.flows.dispatch("slow", name, "slow", session_id=name) for name in WRITES]
        written = asyncio.ensure_future(
            client.state.session("wire").patch_state({"text": "slow", "quick": "q"})
        )
        for number in range(10):
            await other.state.session("s").patch_state({"text": f"other {number}"})
            await other.flows.call("slow", "sync", "quick")
        with pytest.raises(SchemaViolation) as refused:
            await written
        assert [(one.field, one.reason) for one in refused.value.field_violations] == [("/text", "TOO_SLOW")]
        assert refused.value.mutation is not None
        assert refused.value.mutation.index == 0
        for run in blocks:
            assert await run.result(timeout=ENOUGH) == [f"/text {TOO_SLOW}"]
        assert await neighbour.result(timeout=20.0) == 20
        assert time.monotonic() - began < SLEEP / 2
        assert server.engine.instance_id == before
        state = await client.state.session("wire").get()
        assert (state.version, state.state["text"]) == (1, "quick")


CASES: dict[str, tuple[str, str, tuple[Any, ...], list[str]]] = {
    "an element": ("session", "push_state", ("notes", "slow"), ["/notes"]),
    "a record": ("session", "set_state_record", ("by", "k", "slow"), ["/by"]),
    "a factory inside": ("session", "patch_state", ({"nested": {}},), ["/nested"]),
    "one field of several": ("session", "set_state", ({"quick": "q", "text": "slow"},), ["/text"]),
    "the validator of a model": ("user", "patch_state", ({"one": "slow"},), ["/one"]),
    "a validator that sees other fields": ("org", "patch_state", ({"second": "slow"},), ["/second"]),
}


@pytest.mark.parametrize("case", CASES)
async def test_a3_whatever_is_slow_is_named(case: str) -> None:
    scope, operation, arguments, paths = CASES[case]
    async with (
        running_server(flow) as server,
        server.connect(user="u", org="o", plane="trusted") as client,
    ):
        await client.flows.call("slow", "async", "quick", session_id="s")
        records = {
            "session": client.state.session("s"),
            "user": client.state.user("u", flow_kind="slow"),
            "org": client.state.org("o", flow_kind="slow"),
        }
        with pytest.raises(SchemaViolation) as refused:
            await getattr(records[scope], operation)(*arguments)
        assert [(one.field, one.reason) for one in refused.value.field_violations] == [
            (path, "TOO_SLOW") for path in paths
        ]


async def test_a3_nobody_waits_for_a_validator_of_an_input_that_sleeps() -> None:
    async with running_server(flow) as server, server.connect(user="u") as client:
        slow = asyncio.ensure_future(client.flows.call("slow", "give", {"text": "slow"}))
        for number in range(5):
            value = {"text": f"quick {number}"}
            assert await client.flows.call("slow", "give", value, timeout=ENOUGH) == value["text"]
        assert not slow.done()
        awake.set()
        assert await slow == "slow"


async def test_a3_nobody_waits_for_a_serializer_that_sleeps() -> None:
    async with running_server(flow) as server, server.connect(user="u", plane="trusted") as client:
        await client.flows.call("slow", "shown", "quick", session_id="s")
        slow = asyncio.ensure_future(client.flows.call("slow", "shown", "slow"))
        for number in range(5):
            await client.state.session("s").patch_state({"shown": f"quick {number}"})
        assert not slow.done()
        awake.set()
        assert await slow == [f"/shown {TOO_SLOW}"]
