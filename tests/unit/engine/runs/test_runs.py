"""How runs end, and what they leave."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from pydantic import BaseModel, Field

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import ValidationFailedError
from flowstate_server.flows import (
    ActionError,
    Context,
    Flow,
    StateWrite,
    Turns,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.model.events import EventType
from flowstate_server.model.records import RequestStatus
from flowstate_server.testing import FlowTester, run_flow


class Note(BaseModel):
    count: int = 0
    names: list[str] = Field(default_factory=list)
    small: int = Field(default=0, le=10)


def flow_of(block: Any, **options: Any) -> Flow:
    return define_flow("test", actions={"go": action(block=block, **options)})


async def test_what_a_block_reads_is_read_only_and_can_be_written_and_returned() -> None:
    @handler(session_state=Note)
    async def go(value: None, ctx: Context[Note]) -> list[str]:
        await ctx.session.push_state("names", "a")
        with pytest.raises(TypeError, match=r"ctx\.session\.push_state"):
            ctx.session.state.names.append("lost")
        await ctx.session.patch_state(names=[*ctx.session.state.names, "b"])
        await ctx.session.patch_state(names=ctx.session.state.names)
        return ctx.session.state.names

    run = await run_flow(flow_of(go), "go")
    assert run.output == ["a", "b"]


async def test_atomic_state_takes_a_changed_copy_and_advises_it() -> None:
    @handler(session_state=Note)
    async def go(value: None, ctx: Context[Note]) -> None:
        def lost(state: Note) -> Note:
            state.names.append("lost")
            return state

        await ctx.session.inc_state(count=1)
        with pytest.raises(TypeError, match=r"atomic_state is read-only.*state\.model_copy\(update="):
            await ctx.session.atomic_state(lost)
        assert (await ctx.session.atomic_state(lambda state: state)).changed is False
        await ctx.session.atomic_state(lambda state: state.model_copy(update={"names": [*state.names, "a"]}))

    run = await run_flow(flow_of(go), "go")
    assert (run.session.state.names, run.session.version) == (["a"], 2)
    changes = [event for event in run.events if event.type is EventType.STATE_CHANGE]
    assert "small" not in str(changes[-1]), "a default is not written"


async def test_operations_answer_with_versions_and_show_in_the_view() -> None:
    seen: list[Any] = []

    @handler(session_state=Note)
    async def go(value: None, ctx: Context[Note]) -> int:
        seen.append(await ctx.session.inc_state({"count": 2}))
        seen.append(await ctx.session.inc_state({"count": 0}))
        async with ctx.session.batch() as batch:
            batch.push_state("names", "a", "b")
            batch.inc_state({"count": 1})
        seen.append(batch.result)
        seen.append(await ctx.session.at(2).patch_state({"small": 3}))
        seen.append(await ctx.session.atomic_state(lambda state: {"count": state.count * 10}))
        return ctx.session.state.count

    run = await run_flow(flow_of(go), "go")
    assert seen == [
        StateWrite(1, True),
        StateWrite(1, False),
        StateWrite(2, True),
        StateWrite(3, True),
        StateWrite(4, True),
    ]
    assert run.output == 30
    assert (run.session.state.names, run.session.version) == (["a", "b"], 4)
    assert run.event_types().count(EventType.STATE_CHANGE) == 4


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("declared", [False, True])
async def test_a_view_of_state_can_be_an_output(declared: bool, nested: bool) -> None:
    @handler(session_state=Note)
    async def typed(value: None, ctx: Context[Note]) -> Any:
        return {"state": ctx.session.state} if nested else ctx.session.state

    @handler(uses=[typed])
    async def untyped(value: None, ctx: Context[BaseModel]) -> Any:
        return {"state": ctx.session.state} if nested else ctx.session.state

    run = await run_flow(flow_of(typed if declared else untyped), "go")
    fields = {"count": 0, "names": [], "small": 0}
    assert run.output == ({"state": fields} if nested else fields)


async def test_a_caught_refusal_leaves_state_and_events_as_they_should_be() -> None:
    @handler(session_state=Note)
    async def go(value: None, ctx: Context[Note]) -> str:
        await ctx.emit("before")
        try:
            await ctx.session.patch_state({"small": 11})
        except Exception as error:
            await ctx.emit("after")
            return type(error).__name__
        return "accepted"

    run = await run_flow(flow_of(go), "go")
    assert run.output == "StateValidationError"
    assert run.session.version == 0
    assert run.event_types().count(EventType.CUSTOM) == 2


async def test_an_action_error_speaks_to_the_client() -> None:
    @handler
    async def go(value: None, ctx: Context) -> None:
        raise ActionError("NO_CREDIT", "top up first", {"missing": 3}, retryable=True)

    run = await run_flow(flow_of(go), "go", check=False)
    assert run.status is RequestStatus.FAILED
    assert run.failure is not None
    assert (run.failure.reason, run.failure.message) == ("NO_CREDIT", "top up first")
    assert (run.failure.details, run.failure.retryable) == ({"missing": 3}, True)


async def test_any_other_exception_is_internal_with_an_id_for_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @handler
    async def go(value: None, ctx: Context) -> None:
        raise RuntimeError("the secret")

    with caplog.at_level(logging.ERROR):
        run = await run_flow(flow_of(go), "go", check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.message) == ("INTERNAL", "the action failed")
    assert run.failure.error_id in caplog.text
    assert f'request {run.request_id} (flow "test", action "go") failed' in caplog.text
    assert not any(b"the secret" in event.record.event.payload for event in run.events)


async def test_a_timeout_ends_the_run_as_failed() -> None:
    cancelled = asyncio.Event()

    @handler
    async def go(value: None, ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    run = await run_flow(flow_of(go, timeout=0.01), "go", check=False)
    assert run.status is RequestStatus.FAILED
    assert run.failure is not None
    assert run.failure.reason == "ACTION_TIMEOUT"
    assert cancelled.is_set()


async def test_an_item_left_open_is_appended_with_its_text_so_far() -> None:
    @handler
    async def go(value: None, ctx: Context) -> None:
        stream = await ctx.message().__aenter__()
        await stream.write("so far")
        await asyncio.Event().wait()

    run = await run_flow(flow_of(go, timeout=0.01), "go", check=False)
    assert [item.text for item in run.items] == ["so far"]
    assert run.event_types()[-2:] == [EventType.ITEM_DONE, EventType.REQUEST_FAILED]


async def test_a_sync_handler_works_on_state_from_its_thread() -> None:
    @handler(session_state=Note)
    def go(value: None, ctx: Context[Note]) -> str:
        ctx.run(ctx.session.inc_state({"count": 1}))
        assert ctx.session.state.count == 1
        return threading.current_thread().name

    run = await run_flow(flow_of(go), "go")
    assert run.status is RequestStatus.COMPLETED
    assert run.output != threading.current_thread().name
    assert run.session.state.count == 1


async def test_request_state_lives_as_long_as_the_request() -> None:
    @handler(request_state=Note)
    async def go(value: None, ctx: Context[Any, Any, Any, Note]) -> int:
        await ctx.request.inc_state({"count": 5})
        return ctx.request.state.count

    async with FlowTester(flow_of(go)) as tester:
        assert [(await tester.run("go", session_id="s")).output for _ in range(2)] == [5, 5]


async def test_history_has_completed_turns_and_the_running_one() -> None:
    class Say(BaseModel):
        text: str

    @handler
    async def go(say: Say, ctx: Context) -> list[str]:
        await ctx.add_item("message", say.text, role="user")
        if say.text == "bad":
            raise ActionError("BAD", "bad")
        return [item.text for item in await ctx.session.items.history(limit=Turns(2))]

    async with FlowTester(flow_of(go)) as tester:
        outputs = [
            (await tester.run("go", {"text": text}, session_id="s", check=False)).output
            for text in ("one", "two", "bad", "three", "four")
        ]
    assert outputs == [["one"], ["one", "two"], None, ["one", "two", "three"], ["two", "three", "four"]]


async def test_metadata_changes_apart_from_state() -> None:
    @handler(session_state=Note)
    async def go(value: None, ctx: Context[Note]) -> list[Any]:
        first = await ctx.session.set_metadata(title="A title", tags=["x"])
        again = await ctx.session.set_metadata(title="A title")
        return [first.version, again.version, ctx.session.metadata.title, list(ctx.session.metadata.tags)]

    run = await run_flow(flow_of(go), "go")
    assert run.output == [2, 2, "A title", ["x"]]
    assert run.session.version == 0
    assert run.event_types().count(EventType.SESSION_METADATA_CHANGED) == 1


async def test_without_an_org_there_is_none() -> None:
    @handler
    async def go(value: None, ctx: Context) -> bool:
        return ctx.org is None

    async with FlowTester(flow_of(go)) as tester:
        assert (await tester.run("go")).output is True
        assert (await tester.run("go", org_id="acme")).output is False


async def test_an_output_over_its_limit_fails_the_request() -> None:
    @handler
    async def go(value: None, ctx: Context) -> str:
        return "x" * (EngineSettings().max_output_bytes + 1)

    run = await run_flow(flow_of(go), "go", check=False)
    assert run.failure is not None
    assert run.failure.reason == "OUTPUT_TOO_LARGE"


async def test_a_large_output_is_left_out_of_the_terminal_event() -> None:
    @handler
    async def go(value: None, ctx: Context) -> str:
        return "x" * (EngineSettings().max_terminal_output_bytes + 1)

    run = await run_flow(flow_of(go), "go")
    assert run.status is RequestStatus.COMPLETED
    assert isinstance(run.output, str)
    assert run.events[-1].payload.output_omitted


class Wrap(BaseModel):
    note: Note


class Strict(BaseModel):
    count: int = 0
    title: str


async def test_a_view_can_be_an_output_or_a_part_of_one() -> None:
    filled = {"count": 2, "names": [], "small": 0}

    @handler(session_state=Note)
    async def direct(value: bool, ctx: Context[Note]) -> Note:
        await ctx.session.inc_state({"count": 2})
        if value:
            assert ctx.session.state.count == 2
        return ctx.session.state

    @handler(session_state=Note)
    async def inside(value: None, ctx: Context[Note]) -> Wrap:
        await ctx.session.inc_state({"count": 2})
        return Wrap(note=ctx.session.state)

    @handler(session_state=Note)
    async def listed(value: None, ctx: Context[Note]) -> dict[str, list[Note]]:
        await ctx.session.inc_state({"count": 2})
        return {"notes": [ctx.session.state]}

    @handler(session_state=Strict)
    async def absent(value: None, ctx: Context[Strict]) -> Strict:
        return ctx.session.state

    @handler
    async def last(note: Note, ctx: Context) -> Note:
        return note

    assert (await run_flow(flow_of(direct), "go", False)).output == filled
    assert (await run_flow(flow_of(direct), "go", True)).output == filled
    assert (await run_flow(flow_of(sequencer("s").step(direct).step(last)), "go", False)).output == filled
    assert (await run_flow(flow_of(inside), "go")).output == {"note": filled}
    assert (await run_flow(flow_of(listed), "go")).output == {"notes": [filled]}
    assert (await run_flow(flow_of(absent), "go")).output == {"count": 0}


async def test_without_input_a_run_gets_what_it_gets_over_the_wire() -> None:
    @handler
    async def nothing(_: None, ctx: Context) -> str:
        return "ran"

    @handler
    async def defaults(value: Note, ctx: Context) -> Note:
        return value

    assert (await run_flow(flow_of(nothing), "go")).output == "ran"
    assert (await run_flow(flow_of(nothing), "go", None)).output == "ran"
    assert (await run_flow(flow_of(defaults), "go")).output == Note().model_dump()
    with pytest.raises(ValidationFailedError):
        await run_flow(flow_of(defaults), "go", None)
