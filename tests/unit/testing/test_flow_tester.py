"""Testing a flow: what a run tells, and how a failure shows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from flowstate_server.errors import ActionError, StateValidationError, ValidationFailedError
from flowstate_server.flows import (
    Audience,
    ClientView,
    Context,
    Session,
    User,
    View,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.flows.block import Block
from flowstate_server.flows.flow import Flow
from flowstate_server.model.events import EventType
from flowstate_server.testing import FlowRunFailed, FlowTester, run_flow


class Tickets(BaseModel):
    opened: int = 0
    title: str


class Profile(BaseModel):
    tone: str = "plain"


class Plan(BaseModel):
    seats: int = 1


class Draft(BaseModel):
    step: int = 0


def flow_of(block: Block[Any, Any], timeout: float | None = None, **parts: Any) -> Flow:
    return define_flow("desk", actions={"go": action(block=block, timeout=timeout)}, **parts)


def divide(by: int) -> float:
    return 1 / by


@handler
async def broken(value: None, ctx: Context) -> float:
    return divide(0)


@handler
def broken_in_a_thread(value: None, ctx: Context) -> float:
    return divide(0)


@handler
async def broken_by_an_operation(value: None, ctx: Context) -> None:
    undeclared: dict[str, int] = {"nothing": 1}
    await ctx.session.inc_state(undeclared)


@handler
async def wrong_output(value: None, ctx: Context) -> int:
    text: Any = "text"
    return text  # type: ignore[no-any-return]


def lines_of(error: BaseException) -> list[str]:
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@pytest.mark.parametrize(
    ("block", "path", "kind", "lines"),
    [
        (broken, "broken", ZeroDivisionError, ["broken", "divide"]),
        (sequencer("outer").tap(broken), "outer/broken", ZeroDivisionError, ["broken", "divide"]),
        (broken_in_a_thread, "broken_in_a_thread", ZeroDivisionError, ["broken_in_a_thread", "divide"]),
        (
            broken_by_an_operation,
            "broken_by_an_operation",
            StateValidationError,
            ["broken_by_an_operation"],
        ),
        (wrong_output, "wrong_output", TypeError, []),
    ],
    ids=["alone", "in a sequence", "in a thread", "by an operation", "by its output"],
)
async def test_a_failure_is_raised_from_the_blocks_own_exception(
    block: Block[Any, Any], path: str, kind: type[Exception], lines: list[str]
) -> None:
    with pytest.raises(FlowRunFailed, match=f'in block "{path}": {kind.__name__}: ') as raised:
        await run_flow(flow_of(block), "go")
    error = raised.value.__cause__
    assert type(error) is kind
    assert error is raised.value.run.exception
    assert lines_of(error) == lines


async def test_a_failure_is_told_where_it_is_asked_for() -> None:
    run = await run_flow(flow_of(broken), "go", check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.message) == ("INTERNAL", "the action failed")
    assert isinstance(run.exception, ZeroDivisionError)


async def test_an_action_error_is_the_one_that_was_raised() -> None:
    raised = ActionError("CLOSED", "come tomorrow", {"at": Path("/x")})

    @handler
    async def closed(value: None, ctx: Context) -> None:
        raise raised from KeyError("why")

    with pytest.raises(FlowRunFailed, match='in block "closed": CLOSED: come tomorrow'):
        await run_flow(flow_of(closed), "go")
    run = await run_flow(flow_of(closed), "go", check=False)
    assert run.exception is raised


async def test_an_output_that_is_refused_is_the_exception() -> None:
    @handler
    async def wrong(value: None, ctx: Context) -> Any:
        return "text"

    flow = define_flow("desk", actions={"go": action(block=wrong, output=int)})
    run = await run_flow(flow, "go", check=False)
    assert isinstance(run.exception, ValidationFailedError)


async def test_a_time_out_shows_where_the_block_was() -> None:
    async def wait_for_the_printer() -> None:
        await asyncio.Event().wait()

    @handler
    async def slow(value: None, ctx: Context) -> None:
        await wait_for_the_printer()

    with pytest.raises(FlowRunFailed, match="ACTION_TIMEOUT") as raised:
        await run_flow(flow_of(slow, timeout=0.01), "go")
    assert raised.value.__cause__ is not None
    assert lines_of(raised.value.__cause__)[:2] == ["slow", "wait_for_the_printer"]


async def test_a_run_that_succeeds_has_no_exception_though_a_block_rescued_one() -> None:
    @handler(uses=[broken])
    async def careful(value: None, ctx: Context) -> str:
        try:
            await ctx.execute(broken, None)
        except ZeroDivisionError:
            return "rescued"
        return "whole"

    run = await run_flow(flow_of(careful), "go")
    assert (run.output, run.exception) == ("rescued", None)


async def test_a_failure_is_not_told_of_a_block_that_was_rescued() -> None:
    @handler(uses=[broken])
    async def careful(value: None, ctx: Context) -> None:
        with suppress(ZeroDivisionError):
            await ctx.execute(broken, None)
        await asyncio.Event().wait()

    run = await run_flow(flow_of(careful, timeout=0.05), "go", check=False)
    assert str(FlowRunFailed(run)) == (
        'action "go" of flow "desk" failed: ACTION_TIMEOUT: the action took too long'
    )


async def test_waiting_ends_and_the_run_goes_on() -> None:
    @handler
    async def hold(value: None, ctx: Context) -> str:
        await end.wait()
        return "ended"

    end = asyncio.Event()
    async with FlowTester(flow_of(hold)) as tester:
        started = await tester.start("go")
        with pytest.raises(TimeoutError, match=r'action "go" has not ended after 0\.01 s'):
            await started.result(timeout=0.01)
        end.set()
        assert (await started.result()).output == "ended"


async def test_a_run_is_cancelled() -> None:
    cleaned = False

    @handler
    async def hold(value: None, ctx: Context) -> None:
        nonlocal cleaned
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned = True

    begun = asyncio.Event()
    async with FlowTester(flow_of(hold)) as tester:
        started = await tester.start("go")
        await begun.wait()
        run = await started.cancel("changed my mind")
    assert (run.status, run.record.reason, run.exception, cleaned) == (
        "aborted",
        "changed my mind",
        None,
        True,
    )
    assert "aborted, changed my mind" in repr(run)


def doubled(view: View[Any]) -> int:
    return int(view.state.opened) * 2


def failing(view: View[Any]) -> int:
    raise ActionError("NO_TITLE", "there is none")


@handler(session_state=Tickets, user_state=Profile, org_state=Plan, request_state=Draft)
async def open_ticket(value: None, ctx: Context[Tickets, Profile, Plan, Draft]) -> list[Any]:
    assert ctx.org is not None
    seen = [ctx.session.state.title, ctx.user.state.tone, ctx.org.state.seats, ctx.request.state.step]
    await ctx.session.inc_state(opened=1)
    await ctx.request.inc_state(step=1)
    await ctx.emit("opened", {"n": 1}, audience=Audience.CLIENT)
    return seen


desk = flow_of(
    open_ticket,
    session=Session(client=ClientView(expose=["title"], derived={"doubled": doubled, "failing": failing})),
    user=User(client=ClientView(expose=["tone"])),
)
PRESET: dict[str, Any] = {
    "session_state": {"title": "Printer", "opened": 4},
    "user_state": Profile(tone="curt"),
    "org_state": {"seats": 9},
    "request_state": {"step": 7},
    "org_id": "acme",
}


async def test_state_is_there_before_a_run_in_every_scope() -> None:
    run = await run_flow(desk, "go", **PRESET)
    assert run.output == ["Printer", "curt", 9, 7]
    assert (run.session.state_as(Tickets).opened, run.session.version) == (5, 2)
    assert run.user.state_as(Profile).tone == "curt"
    assert run.org is not None
    assert run.org.state_as(Plan).seats == 9
    assert run.request.state_as(Draft).step == 8


async def test_an_output_is_json_and_as_typed_as_its_block_made_it() -> None:
    @handler
    async def tone(_: None, ctx: Context) -> list[Profile]:
        return [Profile(tone="curt")]

    run = await run_flow(define_flow("f", actions={"go": action(block=tone)}), "go")
    assert run.output == [{"tone": "curt"}]
    assert run.output_as(list[Profile]) == [Profile(tone="curt")]
    with pytest.raises(ValidationError):
        run.output_as(int)


async def test_state_before_a_run_belongs_to_the_session_that_is_named() -> None:
    async with FlowTester(desk) as tester:
        await tester.run("go", session_id="s", **PRESET)
        await tester.run("go", session_id="s", org_id="acme")
        run = await tester.run("go", session_id="s", org_id="acme", session_state={"title": "New"})
    assert run.output == ["New", "curt", 9, 0]
    assert run.session.state == {"title": "New", "opened": 1}


@pytest.mark.parametrize("scope", ["session", "user", "org", "request"])
async def test_state_that_no_block_could_have_stored_is_refused(scope: str) -> None:
    with pytest.raises((StateValidationError, FlowRunFailed), match="is not declared"):
        await run_flow(desk, "go", **{**PRESET, f"{scope}_state": {"unknown": 1}})


async def test_an_orgs_state_needs_the_org() -> None:
    with pytest.raises(ValueError, match="give org_id"):
        await run_flow(desk, "go", org_state={"seats": 2})


async def test_clients_see_what_is_exposed_and_derived() -> None:
    run = await run_flow(desk, "go", **PRESET)
    assert run.client_data == {
        "session": {"title": "Printer", "doubled": 10},
        "user": {"tone": "curt"},
    }
    assert run.client_failures["session"]["failing"].reason == "NO_TITLE"


async def test_events_are_decoded() -> None:
    run = await run_flow(desk, "go", **PRESET)
    (opened,) = [event for event in run.events if event.type is EventType.CUSTOM]
    assert (opened.payload.name, opened.payload.data) == ("opened", {"n": 1})
    assert opened.block_path == ("open_ticket",)
    assert opened.audiences == frozenset((Audience.CLIENT,))
    assert all(event.payload.type is event.type for event in run.events)


async def test_an_item_is_its_event() -> None:
    @handler
    async def speak(value: None, ctx: Context) -> None:
        await ctx.add_item("message", "hello", role="assistant")

    run = await run_flow(flow_of(speak), "go")
    (done,) = [event for event in run.events if event.type is EventType.ITEM_DONE]
    assert done.payload is None
    assert done.item is not None
    assert done.item.text == "hello"
    assert "hello" in repr(done)


async def test_a_state_is_read_as_a_model_that_the_flow_knows() -> None:
    class Stranger(BaseModel):
        colour: str = "red"

    run = await run_flow(desk, "go", **PRESET)
    with pytest.raises(ValueError, match=r"session state has no field colour of Stranger \(there are opened"):
        run.session.state_as(Stranger)


async def test_a_state_says_how_to_get_a_dict() -> None:
    run = await run_flow(desk, "go", **PRESET)
    with pytest.raises(TypeError, match=r"is no dict: .* state_as\(Model\)\.model_dump\(\)"):
        dict(run.session.state)
    assert run.session.state_as(Tickets).model_dump()["opened"] == 5


@pytest.mark.parametrize(
    "shown", [repr, lambda run: repr(run.session), lambda run: max(map(repr, run.events), key=len)]
)
async def test_what_a_run_is_shown_as_is_short(shown: Callable[[Any], str]) -> None:
    preset = {**PRESET, "session_state": {"title": "long " * 1000}}
    assert len(shown(await run_flow(desk, "go", **preset))) < 300


async def test_an_exception_that_has_no_text_is_told_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @handler
    async def mute(value: None, ctx: Context) -> None:
        raise Mute

    with pytest.raises(FlowRunFailed, match=r"Mute: \(its text could not be had: RuntimeError\)"):
        await run_flow(flow_of(mute), "go")


FAILING_TEST = """
from flowstate_server.flows import Context, action, define_flow, handler, sequencer
from flowstate_server.testing import run_flow


@handler
async def divide(value: None, ctx: Context) -> float:
    return 1 / 0  # the bug


flow = define_flow("desk", actions={"go": action(block=sequencer("steps").step(divide))})


async def test_it():
    await run_flow(flow, "go")
"""


def test_pytest_shows_the_authors_line_and_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "test_bug.py").write_text(FAILING_TEST)
    command = (sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-p", "no:cacheprovider")
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    shown = ran.stdout[: ran.stdout.index("Captured log")]
    assert "1 / 0  # the bug" in shown
    assert "ZeroDivisionError: division by zero" in shown
    assert "flowstate_server/" not in shown, shown
    assert len(shown.splitlines()) < 40, shown
