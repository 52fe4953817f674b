"""U9: an operation that nobody awaits fails its block, which is named with it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.flows.block import Block
from flowstate_server.model.records import RequestStatus
from flowstate_server.testing.flow_run import FlowRun
from flowstate_server.testing.flow_tester import run_flow


class Counted(BaseModel):
    n: int = 0
    log: list[int] = []


@handler
async def child(value: None, ctx: Context) -> None: ...


FORGOTTEN: dict[str, Callable[[Context[Counted, Counted]], object]] = {
    "ctx.session.inc_state(...)": lambda ctx: ctx.session.inc_state(n=1),
    "ctx.session.set_state(...)": lambda ctx: ctx.session.set_state(Counted(n=1)),
    "ctx.session.atomic_state(...)": lambda ctx: ctx.session.atomic_state(lambda state: {"n": 1}),
    "ctx.session.refresh(...)": lambda ctx: ctx.session.refresh(),
    "ctx.session.at(3).patch_state(...)": lambda ctx: ctx.session.at(3).patch_state(n=1),
    "ctx.session.set_metadata(...)": lambda ctx: ctx.session.set_metadata(title="t"),
    "ctx.session.append_journal(...)": lambda ctx: ctx.session.append_journal("note"),
    "ctx.session.items.history(...)": lambda ctx: ctx.session.items.history(),
    "ctx.user.push_state(...)": lambda ctx: ctx.user.push_state("log", 1),
    "ctx.request.unset_state(...)": lambda ctx: ctx.request.unset_state("n"),
    "ctx.add_item(...)": lambda ctx: ctx.add_item("message", "hi"),
    "ctx.emit(...)": lambda ctx: ctx.emit("event"),
    "ctx.status(...)": lambda ctx: ctx.status("busy"),
    "ctx.execute(...)": lambda ctx: ctx.execute(child, None),
}


async def run(block: Block[None, Any]) -> FlowRun:
    return await run_flow(define_flow("f", actions={"a": action(block=block)}), "a", None, check=False)


@pytest.mark.parametrize("forgotten", FORGOTTEN)
@pytest.mark.parametrize("kept", [False, True])
async def test_u9_an_operation_without_await_fails_the_block_by_name(
    forgotten: str, kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    keep: list[object] = []

    @handler(session_state=Counted, user_state=Counted, uses=[child])
    async def tool(value: None, ctx: Context[Counted, Counted]) -> str:
        begun = FORGOTTEN[forgotten](ctx)
        if kept:
            keep.append(begun)
        return "done"

    result = await run(tool)
    assert result.status is RequestStatus.FAILED
    assert f'handler "tool" never awaited {forgotten}' in caplog.text


async def test_u9_a_sync_handler_without_ctx_run_fails(caplog: pytest.LogCaptureFixture) -> None:
    @handler(session_state=Counted)
    def tool(value: None, ctx: Context[Counted]) -> str:
        ctx.session.inc_state(n=1)  # type: ignore[unused-coroutine]
        return "done"

    assert (await run(tool)).status is RequestStatus.FAILED
    line = tool_line(tool, "inc_state")
    assert f"never awaited ctx.session.inc_state(...) in line {line} of test_begun_calls.py" in caplog.text
    assert "ctx.run" in caplog.text


def tool_line(tool: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(tool._function)
    return first + next(number for number, line in enumerate(lines) if text in line)


async def test_u9_what_was_not_awaited_has_no_length_and_says_why() -> None:
    errors: list[str] = []

    @handler(session_state=Counted)
    async def tool(value: None, ctx: Context[Counted]) -> str:
        begun: Any = ctx.session.items.history()
        for use in (len, list, lambda found: found[0]):
            with pytest.raises(TypeError, match=r"ctx.*history.* write `await`") as refused:
                use(begun)
            errors.append(str(refused.value))
        assert begun
        await begun
        return "done"

    assert (await run(tool)).status is RequestStatus.COMPLETED
    assert len(errors) == 3


async def test_u9_text_without_await_fails(caplog: pytest.LogCaptureFixture) -> None:
    @handler
    async def tool(value: None, ctx: Context) -> str:
        async with ctx.message() as message:
            message.write("lost")  # type: ignore[unused-coroutine]
        return "done"

    assert (await run(tool)).status is RequestStatus.FAILED
    assert "never awaited the item.write(...)" in caplog.text


async def test_operations_may_be_run_by_whatever_runs_coroutines() -> None:
    @handler(session_state=Counted)
    async def tool(value: None, ctx: Context[Counted]) -> int:
        await asyncio.gather(ctx.session.inc_state(n=1), ctx.session.inc_state(n=1))
        await asyncio.create_task(ctx.session.inc_state(n=1))
        await asyncio.wait_for(ctx.session.inc_state(n=1), 5.0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ctx.session.inc_state(n=1))
        later = ctx.session.inc_state(n=1)
        await later
        left.append(asyncio.create_task(ctx.session.refresh()))
        return ctx.session.state.n

    left: list[asyncio.Task[None]] = []
    result = await run(tool)
    assert result.output == 6


async def test_a_task_that_is_cancelled_before_it_began_is_not_forgotten() -> None:
    @handler(session_state=Counted)
    async def tool(value: None, ctx: Context[Counted]) -> int:
        task = asyncio.create_task(ctx.session.inc_state(n=1))
        task.cancel()
        return ctx.session.state.n

    assert (await run(tool)).output == 0


async def test_the_blocks_own_failure_goes_first() -> None:
    @handler(session_state=Counted)
    async def tool(value: None, ctx: Context[Counted]) -> None:
        forgotten.append(ctx.session.inc_state(n=1))
        raise LookupError

    forgotten: list[Any] = []
    result = await run(tool)
    assert result.failure is not None
    forgotten[0].close()


@pytest.mark.parametrize("name", FORGOTTEN)
@pytest.mark.parametrize("where", ["a sync handler", "a thread of an async one"])
async def test_f1_an_operation_on_another_event_loop_fails_at_once_and_says_what_to_do(
    name: str, where: str
) -> None:
    """Two loops would wait for each other, and what belongs to one would be touched from the other."""

    async def elsewhere(ctx: Context[Counted, Counted]) -> None:
        begun: Any = FORGOTTEN[name](ctx)
        await begun

    @handler(session_state=Counted, user_state=Counted, uses=[child])
    def sync_tool(value: None, ctx: Context[Counted, Counted]) -> str:
        asyncio.run(elsewhere(ctx))
        return "done"

    @handler(session_state=Counted, user_state=Counted, uses=[child])
    async def tool(value: None, ctx: Context[Counted, Counted]) -> str:
        await asyncio.to_thread(asyncio.run, elsewhere(ctx))
        return "done"

    result = await run(sync_tool if where == "a sync handler" else tool)
    assert result.status is RequestStatus.FAILED
    assert "hand it to `ctx.run(...)`" in str(result.exception)
    assert result.session.version == 0


async def test_f14_a_batch_that_is_over_takes_nothing_more() -> None:
    @handler(session_state=Counted)
    async def tool(value: None, ctx: Context[Counted]) -> str:
        async with ctx.session.batch() as batch:
            batch.inc_state(n=1)
        batch.inc_state(n=100)
        return "done"

    result = await run(tool)
    assert "the batch is over" in str(result.exception)
    assert result.session.state.n == 1


async def test_f8_a_copy_with_what_is_no_field_is_refused_by_its_name() -> None:
    @handler(session_state=Counted)
    async def tool(value: None, ctx: Context[Counted]) -> str:
        await ctx.session.atomic_state(lambda state: state.model_copy(update={"typo": 5}))  # type: ignore[flowstate-field]
        return "done"

    assert "typo" in str((await run(tool)).exception)
