"""Which frames the author of a flow is shown, in a failing test and in the log: those of the author."""

from __future__ import annotations

import asyncio
import traceback
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from flowstate_server.errors import ActionNotFoundError, StateValidationError, ValidationFailedError
from flowstate_server.flows import Context, User, action, define_flow, handler
from flowstate_server.flows.block import Block
from flowstate_server.flows.flow import Flow
from flowstate_server.programs.author_code import readable, work_of
from flowstate_server.testing import FlowRunFailed, run_flow


class Line(BaseModel):
    text: str = ""

    @field_validator("text")
    @classmethod
    def no_bombs(cls, text: str) -> str:
        if text == "bomb":
            raise LookupError("a bomb")
        return text


class Tickets(BaseModel):
    title: str
    opened: int = 0
    line: Line = Line()


def flow_of(block: Block[Any, Any], **parts: Any) -> Flow:
    return define_flow("desk", actions={"go": action(block=block)}, **parts)


@handler(session_state=Tickets)
def by_run(value: None, ctx: Context[Tickets]) -> None:
    text: Any = "many"
    ctx.run(ctx.session.patch_state(opened=text))


@handler
def by_a_coroutine_in_run(value: None, ctx: Context) -> None:
    ctx.run(raise_it())


async def raise_it() -> None:
    raise LookupError("nothing")


@handler(session_state=Tickets)
async def by_an_absent_field(value: None, ctx: Context[Tickets]) -> str:
    return ctx.session.state.title


@handler(session_state=Tickets)
async def by_a_wrong_name(value: None, ctx: Context[Tickets]) -> object:
    state: Any = ctx.session.state
    return state.titel


@handler(session_state=Tickets)
async def by_a_wrong_name_inside(value: None, ctx: Context[Tickets]) -> object:
    line: Any = ctx.session.state.line
    return line.txt


@handler(session_state=Tickets)
async def by_an_assignment(value: None, ctx: Context[Tickets]) -> None:
    ctx.session.state.opened += 1


@handler(session_state=Tickets)
async def by_another_state(value: None, ctx: Context[Tickets]) -> None:
    session: Any = ctx.session
    session.state = Tickets(title="t")


@handler(session_state=Tickets)
async def by_its_validator(value: None, ctx: Context[Tickets]) -> None:
    await ctx.session.patch_state(line={"text": "bomb"})


@handler
async def by_the_library(value: None, ctx: Context) -> None:
    async with asyncio.timeout(0):
        await asyncio.sleep(1)


@dataclass(frozen=True)
class Frozen(Exception):
    place: str


@handler
async def by_a_frozen_exception(value: None, ctx: Context) -> None:
    raise Frozen("here")


def names(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize(
    ("block", "frames"),
    [
        (by_run, ["by_run"]),
        (by_a_coroutine_in_run, ["by_a_coroutine_in_run", "raise_it"]),
        (by_an_absent_field, ["by_an_absent_field"]),
        (by_a_wrong_name, ["by_a_wrong_name"]),
        (by_a_wrong_name_inside, ["by_a_wrong_name_inside"]),
        (by_an_assignment, ["by_an_assignment"]),
        (by_another_state, ["by_another_state"]),
        (by_its_validator, ["by_its_validator", "no_bombs"]),
        (by_a_frozen_exception, ["by_a_frozen_exception"]),
    ],
    ids=lambda block: getattr(block, "name", ""),
)
async def test_frames_are_those_of_the_author(
    block: Block[Any, Any], frames: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FlowRunFailed) as raised:
        await run_flow(flow_of(block), "go")
    assert raised.value.__cause__ is not None
    assert names(raised.value.__cause__) == frames
    (line,) = [record for record in caplog.records if record.exc_info]
    assert line.exc_info is not None
    assert [frame.name for frame in traceback.extract_tb(line.exc_info[2])] == frames


async def test_a_state_that_is_assigned_is_told_how_to_replace_it() -> None:
    with pytest.raises(FlowRunFailed, match=r"ctx\.session\.state is read-only: .*set_state.*patch_state"):
        await run_flow(flow_of(by_another_state), "go")


async def test_what_the_author_calls_in_the_library_is_shown() -> None:
    run = await run_flow(flow_of(by_the_library), "go", check=False)
    assert run.exception is not None
    assert names(run.exception)[0] == "by_the_library"
    assert len(names(run.exception)) > 1


async def test_a_group_is_shown_as_it_was_raised(caplog: pytest.LogCaptureFixture) -> None:
    @handler(session_state=Tickets)
    async def by_a_group(value: None, ctx: Context[Tickets]) -> None:
        text: Any = "many"
        async with asyncio.TaskGroup() as group:
            group.create_task(ctx.session.patch_state(opened=text))

    with pytest.raises(FlowRunFailed, match=r'in block "by_a_group": StateValidationError: .*/opened'):
        await run_flow(flow_of(by_a_group), "go")
    assert "in by_a_group" in caplog.text
    assert "flowstate_server/" not in caplog.text


def breaks(fields: dict[str, Any]) -> dict[str, Any]:
    return {"opened": int(fields["opened"])}


def does_not_fit(fields: dict[str, Any]) -> dict[str, Any]:
    return {"opened": "none"}


@pytest.mark.parametrize(("upgrade", "shown"), [(breaks, True), (does_not_fit, False)])
async def test_of_an_upgrade_its_own_frames_are_shown(
    upgrade: Any, shown: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @handler(user_state=Tickets)
    async def look(value: None, ctx: Context[Any, Tickets]) -> int:
        return ctx.user.state.opened

    flow = flow_of(look, user=User(state=Tickets, generation=2, upgrade=upgrade))
    with pytest.raises(FlowRunFailed) as raised:
        await run_flow(flow, "go", user_state={"opened": "x"}, state_generation=1)
    error = raised.value.__cause__
    assert error is not None
    assert error.__cause__ is not None
    assert names(error) == ["look"]
    assert names(error.__cause__) == (["breaks"] if shown else [])
    assert ("in breaks" in caplog.text) is shown
    assert "flowstate_server/" not in caplog.text
    assert "asyncio/" not in caplog.text


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        ({"action": "og"}, ActionNotFoundError, r'Flow desk has no action og; there is "go"\.$'),
        ({"action": "goo"}, ActionNotFoundError, r'Flow desk has no action goo; did you mean "go"\?$'),
        ({"input": {"a": 1}}, ValidationFailedError, "/input"),
        ({"session_state": {"nothing": 1}}, StateValidationError, "/nothing"),
    ],
)
async def test_a_call_that_is_refused_shows_the_test_alone(
    call: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match) as raised:
        await run_flow(flow_of(by_run), **{"action": "go", "input": None, **call})
    *hidden, _ = reversed(list(traceback.walk_tb(raised.value.__traceback__)))
    assert all(frame.f_locals.get("__tracebackhide__") for frame, _ in hidden)


@pytest.mark.parametrize("first", [0, 1], ids=["below an author's", "alone"])
def test_our_own_faults_show_where_they_are(first: int) -> None:
    no_frame: Any = 5
    with pytest.raises(AttributeError) as raised:
        work_of(no_frame)
    trace = raised.value.__traceback__
    assert trace is not None
    error = raised.value.with_traceback((trace, trace.tb_next)[first])
    readable(error)
    assert names(error)[-1] == "work_of"
