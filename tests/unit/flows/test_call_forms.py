"""What a block calls otherwise than it is called is told with how it is written."""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field

from flowstate_server.flows import Context, action, define_flow, handler, resource
from flowstate_server.testing.flow_tester import run_flow


class Todo(BaseModel):
    finished: int = Field(default=0, le=1)
    tasks: list[str] = []


plan = resource("plan", state=Todo)

Body = Callable[[Context[Todo, Todo]], Awaitable[Any]]


async def raised_by(body: Body) -> BaseException:
    @handler(session_state=Todo, user_state=Todo, resources=[plan])
    async def tool(_: None, ctx: Context[Todo, Todo]) -> None:
        await body(ctx)

    flow = define_flow("f", actions={"a": action(block=tool)})
    run = await run_flow(flow, "a", None, check=False)
    assert run.exception is not None
    return run.exception


async def in_a_batch(ctx: Any) -> None:
    async with ctx.session.batch() as batch:
        batch.push_state(tasks="buy tea")


async def with_without_async(ctx: Any) -> None:
    with ctx.session.batch():
        pass


async def message_without_async(ctx: Any) -> None:
    with ctx.message():
        pass


async def reads(value: Any) -> None:
    """The attribute is what counts."""


CALLS: dict[str, tuple[Callable[[Any], Awaitable[Any]], str]] = {
    "positional": (lambda ctx: ctx.user.inc_state("finished", 1), "write ctx.user.inc_state(name=1)"),
    "keywords": (
        lambda ctx: ctx.session.set_state(finished=1),
        'write ctx.session.patch_state(name=value), or set_state({"name": value}) in place of all that is stored',
    ),
    "at": (lambda ctx: ctx.user.at(0).inc_state("finished", 1), "write ctx.user.at(0).inc_state(name=1)"),
    "resource": (
        lambda ctx: ctx.resource(plan).set_state_record("tasks"),
        'set_state_record("name", key, value)',
    ),
    "batch": (in_a_batch, 'push_state(...) does not take these arguments: write push_state("name", value)'),
    "others": (
        lambda ctx: ctx.status("busy", colour="red"),
        "ctx.status(...) does not take these arguments, but (",
    ),
    "with": (with_without_async, "ctx.session.batch() is opened by `async with`, not by `with`"),
    "with message": (message_without_async, "is opened by `async with`, not by `with`"),
    "state left out": (
        lambda ctx: reads(ctx.session.tasks),
        "ctx.session has no tasks; did you mean ctx.session.state.tasks?",
    ),
    "called otherwise": (
        lambda ctx: reads(ctx.session.append_state),
        "ctx.session has no append_state; there are set_state, patch_state, inc_state, push_state, ",
    ),
    "scope left out": (lambda ctx: reads(ctx.state), "did you mean ctx.session.state?"),
    "mistyped": (
        lambda ctx: ctx.session.push_stat("tasks", 1),
        'has no push_stat; did you mean "push_state"?',
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_the_right_form_is_told_without_our_frames(name: str) -> None:
    body, told = CALLS[name]
    error = await raised_by(body)
    assert isinstance(error, TypeError | AttributeError)
    assert re.search(re.escape(told), str(error)), str(error)
    assert frames_of(error) <= {"test_call_forms.py"}


async def test_a_refused_batch_has_no_frame_of_ours() -> None:
    async def too_many(ctx: Context[Todo, Todo]) -> None:
        async with ctx.session.batch() as batch:
            batch.inc_state(finished=2)

    error = await raised_by(too_many)
    assert type(error).__name__ == "StateValidationError"
    assert frames_of(error) == {"test_call_forms.py"}


async def test_an_error_that_comes_up_in_an_operation_is_not_taken_for_a_wrong_call() -> None:
    error = await raised_by(lambda ctx: ctx.session.atomic_state(1))  # type: ignore[arg-type]
    assert "does not take these arguments" not in str(error)


def frames_of(error: BaseException) -> set[str]:
    found: set[str] = set()
    for frame in traceback.extract_tb(error.__traceback__):
        found.add(frame.filename.rpartition("/")[2])
    return found
