"""Tools of generators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.flows import (
    ActionError,
    Context,
    generator,
    handler,
    sequencer,
)
from flowstate_server.language_models import (
    AnswerPart,
    AssistantMessage,
    Ended,
    ModelRequest,
    TextDelta,
    ToolCall,
    ToolResult,
)
from flowstate_server.model.events import EventType
from flowstate_server.model.items import ItemKind
from flowstate_server.testing import (
    FlowTester,
    Scripted,
    ScriptedModel,
    calls,
    run_flow,
)
from tests.support.generating import flow_of, forecast, kinds, look_up, ran, today


async def test_tools_are_blocks() -> None:
    model = ScriptedModel(
        Scripted(
            "Let me see. ",
            calls("forecast", {"city": "Rome"}, "a"),
            calls("look_up", {"input": "tea"}, "b"),
            calls("today", {}, "c"),
            Ended(native="signed"),
        ),
        "It rains.",
    )
    run = await ran(generator("answer", prompt="P", tools=[forecast, look_up, today]), model)
    assert run.output == "It rains."
    specs = {spec.name: spec for spec in model.requests[0].tools}
    assert specs["forecast"].description == "The weather at a place."
    assert specs["forecast"].input_schema["required"] == ["city"]
    assert specs["look_up"].input_schema["properties"] == {"input": {"type": "string"}}
    assert specs["today"].input_schema["properties"] == {}

    called = {item.call_id: item for item in run.items if item.kind is ItemKind.TOOL_CALL}
    outputs = {item.call_id: item for item in run.items if item.kind is ItemKind.TOOL_OUTPUT}
    assert list(called) == ["a", "b", "c"]
    assert called["a"].content == {"call_id": "a", "arguments": {"city": "Rome"}}
    assert outputs["a"].content == {"call_id": "a", "output": {"sky": "rain in Rome", "degrees": 1}}
    assert (outputs["a"].name, outputs["b"].name) == ("forecast", "look_up")
    assert model.requests[1].messages[2:] == (
        AssistantMessage(
            "Let me see. ",
            (
                ToolCall("a", "forecast", '{"city":"Rome"}'),
                ToolCall("b", "look_up", '{"input":"tea"}'),
                ToolCall("c", "today", "{}"),
            ),
            "signed",
        ),
        ToolResult("a", "forecast", '{"sky":"rain in Rome","degrees":1}'),
        ToolResult("b", "look_up", "tea!"),
        ToolResult("c", "today", "Sunday"),
    )
    paths = {event.block_path for event in run.events if event.type is EventType.BLOCK_STARTED}
    assert paths == {("answer",), ("answer", "forecast"), ("answer", "look_up"), ("answer", "today")}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (calls("forecast", '{"city": "Ro'), "the arguments do not fit: not valid JSON"),
        (
            calls("forecast", {"city": "R", "days": 8}),
            "the arguments do not fit: /days: Input should be less",
        ),
        (calls("forecast", {}), "the arguments do not fit: /city: "),
        (calls("forecast", "[NaN]"), "the arguments do not fit: "),
        (calls("forecast", "\ud800"), "the arguments do not fit: "),
        (calls("look_up", {"input": 5}), "the arguments do not fit: /input: "),
        (calls("look_up", {}), "the arguments do not fit: /input: "),
        (calls("look_up", {"input": "stock"}), "sold out"),
        (calls("look_up", {"input": "secret"}), "the tool failed"),
        (calls("no such", {}), "there is no such tool; there are: forecast, look_up"),
    ],
)
async def test_what_goes_wrong_with_a_tool_is_told_to_the_model(
    call: ToolCall, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedModel(Scripted(call), "Sorry.")
    run = await ran(generator("answer", prompt="P", tools=[forecast, look_up]), model)
    result = model.requests[1].messages[-1]
    assert isinstance(result, ToolResult)
    assert result.failed
    assert result.text.startswith(f'{{"error":"{told}')
    output = run.items[-2]
    assert isinstance(output.content, dict)
    assert output.content["output"] == {"error": result.text[len('{"error":"') : -2].replace('\\"', '"')}
    assert "canary" not in repr((run.items, model.requests[1].messages[-1]))
    assert ("canary-tool" in caplog.text) == (told == "the tool failed")


async def test_an_input_that_some_models_forget_to_wrap_is_understood() -> None:
    model = ScriptedModel(Scripted(calls("look_up", '"tea"')), "ok")
    await ran(generator("answer", prompt="P", tools=[look_up]), model)
    assert model.requests[1].messages[-1].text == "tea!"


async def test_ids_that_repeat_name_one_call_each_in_the_items() -> None:
    model = ScriptedModel(
        Scripted(calls("look_up", {"input": "a"}, "0"), calls("look_up", {"input": "b"}, "0")),
        Scripted(ToolCall("", "today", "")),
        "ok",
    )
    run = await ran(generator("answer", prompt="P", tools=[look_up, today]), model)
    ids = [item.call_id for item in run.items if item.kind is ItemKind.TOOL_CALL]
    assert ids[0] == "0"
    assert len(set(ids)) == 3
    outputs = {item.call_id: item.content for item in run.items if item.kind is ItemKind.TOOL_OUTPUT}
    assert [outputs[one] for one in ids] == [
        {"call_id": ids[0], "output": "a!"},
        {"call_id": ids[1], "output": "b!"},
        {"call_id": ids[2], "output": "Sunday"},
    ]


async def test_at_most_four_tools_run_side_by_side() -> None:
    running, most = 0, 0
    full, go_on = asyncio.Event(), asyncio.Event()

    @handler
    async def wait(number: int, ctx: Context) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            full.set()
        await go_on.wait()
        running -= 1
        return number

    model = ScriptedModel(Scripted(*(calls("wait", {"input": n}, str(n)) for n in range(7))), "done")
    async with FlowTester(
        flow_of(generator("answer", prompt="P", tools=[wait])), dependencies=model
    ) as tester:
        started = await tester.start("say", "hi")
        await full.wait()
        assert running == 4
        go_on.set()
        await started.result()
    assert most == 4
    assert [message.text for message in model.requests[1].messages[-7:]] == list("0123456")


async def test_an_output_of_a_tool_that_is_no_item_is_a_failure() -> None:
    @handler
    async def flood(_: None, ctx: Context) -> str:
        return "x" * (1 << 20)

    model = ScriptedModel(Scripted(calls("flood")), "ok")
    run = await ran(generator("answer", prompt="P", tools=[flood]), model)
    assert run.output == "ok"
    assert model.requests[1].messages[-1].text == '{"error":"what the tool gave is too large"}'


async def test_a_model_that_asks_on_and_on() -> None:
    model = ScriptedModel(*(Scripted(calls("today", {}, str(n))) for n in range(3)))
    run = await ran(generator("answer", prompt="P", tools=[today], max_steps=3), model, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable) == ("STEPS_EXCEEDED", False)
    assert run.failure.message == "the language model gave no answer within 3 steps"
    model.check_done()


async def test_cancel_ends_the_tools() -> None:
    ended = asyncio.Event()

    @handler
    async def hold(_: None, ctx: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    model = ScriptedModel(Scripted(calls("hold")))
    async with FlowTester(
        flow_of(generator("answer", prompt="P", tools=[hold])), dependencies=model
    ) as tester:
        started = await tester.start("say", "hi")
        await model.called()
        run = await started.cancel()
        assert run.status == "aborted"
        assert ended.is_set()
    model.check_done()


async def test_a_time_out_ends_the_run_and_is_no_failure_of_a_tool() -> None:
    @handler
    async def hold(_: None, ctx: Context) -> None:
        await asyncio.Event().wait()

    model = ScriptedModel(Scripted(calls("hold")))
    block = generator("answer", prompt="P", tools=[hold])
    run = await run_flow(flow_of(block, timeout=0.1), "say", "hi", dependencies=model, check=False)
    assert run.failure is not None
    assert run.failure.reason == "ACTION_TIMEOUT"
    model.check_done()


async def test_a_generator_is_a_tool_like_any_other_block() -> None:
    expert = generator("expert", prompt="You know.", input=str, description="Knows.", audiences=[])
    model = ScriptedModel(
        Scripted(calls("expert", {"input": "why?"})), Scripted("Because.", expect="why?"), "So."
    )
    run = await ran(generator("answer", prompt="P", tools=[expert]), model)
    assert run.output == "So."
    assert model.requests[0].tools[0].description == "Knows."
    assert model.requests[2].messages[-1].text == "Because."


async def test_tools_reach_the_state_of_their_generator() -> None:
    class Spent(BaseModel):
        searches: int = 0

    @handler(parent_state=Spent)
    async def search(words: str, ctx: Context) -> str:
        spent = ctx.parent_state(Spent)
        if spent.state.searches == 2:
            raise ActionError("ENOUGH", "no more searches")
        await spent.inc_state(searches=1)
        return words

    def prompt(value: str, ctx: Context) -> str:
        return f"{ctx.block_state(Spent).state.searches} so far"

    script = [Scripted(calls("search", {"input": str(n)}, str(n))) for n in range(3)]
    model = ScriptedModel(*script, Scripted("ok", expect="no more searches"))
    run = await ran(generator("answer", prompt=prompt, tools=[search], state=Spent), model)
    assert run.output == "ok"
    assert model.requests[0].messages[0].text == "0 so far"


async def test_a_tool_that_makes_another_error_of_its_cancellation_ends_all_the_same() -> None:
    reached = asyncio.Event()

    @handler
    async def cling(_: None, ctx: Context) -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("never mind") from None

    model = ScriptedModel(Scripted(calls("cling")))
    async with FlowTester(
        flow_of(generator("answer", prompt="P", tools=[cling])), dependencies=model
    ) as tester:
        started = await tester.start("say", "hi")
        await reached.wait()
        assert (await started.cancel()).status == "aborted"
    model.check_done()


@pytest.mark.parametrize("long", ["arguments", "id"])
async def test_a_call_too_large_to_be_kept_goes_back_to_the_model(long: str) -> None:
    words = "x" * 2_000_000
    call = (
        calls("look_up", {"input": words}) if long == "arguments" else calls("look_up", {"input": "a"}, words)
    )
    model = ScriptedModel(Scripted(call), Scripted("ok", expect="the call is too large"))
    run = await ran(generator("answer", prompt="P", tools=[look_up]), model)
    assert run.output == "ok"
    assert kinds(run) == [("tool_call", "look_up"), ("tool_output", "look_up"), ("message", "ok")]
    model.check_done()


class Asking:
    """A model that calls one tool, always by the same id, as some endpoints do."""

    def __init__(self, question: str) -> None:
        self._question = question

    async def stream_answer(self, request: ModelRequest, /) -> AsyncIterator[AnswerPart]:
        results = [message for message in request.messages if isinstance(message, ToolResult)]
        if results:
            assert [(one.call_id, one.text) for one in results] == [("call_0", f"{self._question}!")]
            yield TextDelta(results[0].text)
        else:
            yield ToolCall("call_0", "reply", f'{{"input": "{self._question}"}}')
        yield Ended()


async def test_calls_of_generators_side_by_side_are_told_apart() -> None:
    last = asyncio.Event()

    @handler
    async def reply(question: str, ctx: Context) -> str:
        if question == "first":
            await last.wait()
        else:
            last.set()
        return f"{question}!"

    first, second = (
        generator(name, prompt="P", input=str, tools=[reply], model=Asking(name))
        for name in ("first", "second")
    )
    both = sequencer("both", input=str).parallel({"first": first, "second": second})
    run = await run_flow(flow_of(both), "say", "hi")
    assert run.output == {"first": "first!", "second": "second!"}
    asked, told = (
        {item.call_id: cast(Any, item.content) for item in run.items if item.kind is kind}
        for kind in (ItemKind.TOOL_CALL, ItemKind.TOOL_OUTPUT)
    )
    pairs = [(one["arguments"], told[call_id]["output"]) for call_id, one in asked.items()]
    assert pairs == [({"input": "first"}, "first!"), ({"input": "second"}, "second!")]
