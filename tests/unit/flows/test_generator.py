"""Generators: how they are declared, and what one execution does."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

import pytest
from pydantic import BaseModel, Field

from flowstate_server.errors import FlowDefinitionError, ModelRefusedError, ModelUnavailableError
from flowstate_server.flows import (
    ActionError,
    Audience,
    Context,
    Flow,
    Generator,
    Prompt,
    Session,
    Tokens,
    Turns,
    action,
    define_flow,
    generator,
    handler,
    sequencer,
)
from flowstate_server.flows.generation import model_calls
from flowstate_server.language_models import (
    AssistantMessage,
    Ended,
    EndReason,
    SystemMessage,
    ThoughtDelta,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from flowstate_server.model.events import EventType
from flowstate_server.model.items import ItemKind
from flowstate_server.testing import (
    FlowRun,
    FlowRunFailed,
    FlowTester,
    Scripted,
    ScriptedModel,
    calls,
    run_flow,
)
from flowstate_server.testing.waiting import until


class Say(BaseModel):
    message: str


class Place(BaseModel):
    city: str
    days: int = Field(default=1, le=7)


class Weather(BaseModel):
    sky: str
    degrees: int


class Tone(BaseModel):
    tone: str = "plain"


@handler
async def forecast(place: Place, ctx: Context) -> Weather:
    """The weather at a place."""
    return Weather(sky=f"rain in {place.city}", degrees=place.days)


@handler
async def look_up(question: str, ctx: Context) -> str:
    if question == "secret":
        raise ValueError("canary-tool")
    if question == "stock":
        raise ActionError("OUT_OF_STOCK", "sold out")
    return f"{question}!"


@handler
async def today(_: None, ctx: Context) -> str:
    return "Sunday"


def flow_of(block: Any, **options: Any) -> Flow:
    return define_flow(kind="chat", actions={"say": action(block=block, **options)})


async def ran(block: Any, model: ScriptedModel, value: Any = "hi", **more: Any) -> FlowRun:
    __tracebackhide__ = True
    return await run_flow(flow_of(block), "say", value, dependencies=model, **more)


def kinds(run: FlowRun) -> list[tuple[str, str]]:
    return [(item.kind.value, item.text or item.name) for item in run.items]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_calls, "FIRST_PAUSE", 0.001)


async def test_the_text_is_a_streamed_message_and_the_output() -> None:
    model = ScriptedModel(Scripted("Hel", "lo", Usage("acme", "m-1", 5, 2)))
    run = await ran(generator("answer", prompt="Be kind."), model)
    assert run.output == "Hello"
    assert kinds(run) == [("message", "Hello")]
    assert run.items[0].role == "assistant"
    (usage,) = [event for event in run.events if event.type is EventType.MODEL_USAGE]
    assert usage.payload.members() == {
        "provider": "acme",
        "model": "m-1",
        "input_tokens": 5,
        "output_tokens": 2,
    }
    assert usage.block_path == ("answer",)
    assert usage.audiences == {Audience.INTERNAL}
    assert not usage.record.event.transient
    (request,) = model.requests
    assert request.messages == (SystemMessage("Be kind."), UserMessage("hi"))
    assert (request.tools, request.output_schema, request.settings) == ((), None, {})


async def test_thoughts_are_reasoning() -> None:
    script = Scripted(ThoughtDelta("let "), ThoughtDelta("me see"), "", "A", ThoughtDelta("hm"), "B")
    run = await ran(generator("answer", prompt=""), ScriptedModel(script))
    assert kinds(run) == [
        ("reasoning", "let me see"),
        ("message", "A"),
        ("reasoning", "hm"),
        ("message", "B"),
    ]
    assert run.output == "AB"


async def test_the_input_follows_as_text_or_as_json() -> None:
    model = ScriptedModel("", "", "")
    for value in ("hi", {"message": "hé"}, None):
        await ran(generator("answer", prompt="P"), model, value)
    assert [request.messages[-1] for request in model.requests] == [
        UserMessage("hi"),
        UserMessage('{"message":"hé"}'),
        UserMessage("P"),
    ]


async def test_a_function_makes_the_prompt_and_declares_what_it_reads() -> None:
    async def prompt(say: Say, ctx: Context[None, Tone]) -> str:
        return f"Speak in a {ctx.user.state.tone} tone."

    def whole(say: Say, ctx: Context) -> Prompt:
        return Prompt("I", f"<{say.message}>")

    model = ScriptedModel("", "")
    block = generator("answer", prompt=prompt)
    assert block.input_type is Say
    run = await ran(block, model, Say(message="x"), user_state={"tone": "dry"})
    assert run.user.state_as(Tone).tone == "dry"
    await ran(generator("answer", prompt=whole), model, Say(message="x"))
    assert [request.messages for request in model.requests] == [
        (SystemMessage("Speak in a dry tone."), UserMessage('{"message":"x"}')),
        (SystemMessage("I"), UserMessage("<x>")),
    ]


async def test_a_prompt_that_is_none_fails_the_run() -> None:
    with pytest.raises(FlowRunFailed) as failed:
        await ran(generator("answer", prompt=cast(Any, lambda value, ctx: 5)), ScriptedModel())
    assert "must be a str or a Prompt, not int" in str(failed.value)


async def test_history_is_what_the_model_is_told_and_the_user_is_heard_once() -> None:
    @handler
    async def remember(say: Say, ctx: Context) -> None:
        await ctx.add_item("message", say.message, role="user")

    spoken = sequencer("say").tap(remember).step(generator("answer", prompt="P", history=Turns(1)))
    silent = generator("answer", prompt="P", history=Tokens(100), input=Say)
    model = ScriptedModel("one", "two", "three", "four")
    flow = define_flow(kind="chat", actions={"say": action(block=spoken), "hint": action(block=silent)})
    async with FlowTester(flow, dependencies=model) as tester:
        for message in ("1", "2", "3"):
            await tester.run("say", Say(message=message), session_id="s")
        await tester.run("hint", Say(message="4"), session_id="s")
    assert model.requests[2].messages == (
        SystemMessage("P"),
        UserMessage("2"),
        AssistantMessage("two"),
        UserMessage("3"),
    )
    assert model.requests[3].messages[-2:] == (AssistantMessage("three"), UserMessage('{"message":"4"}'))


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


async def test_structured_output() -> None:
    model = ScriptedModel(Scripted('{"sky": "grey",', ' "degrees": 4}'))
    run = await ran(generator("answer", prompt="P", output=Weather), model)
    assert run.output == {"sky": "grey", "degrees": 4}
    assert run.items == []
    schema = model.requests[0].output_schema
    assert schema is not None
    assert schema["required"] == ["sky", "degrees"]


async def test_structured_output_out_of_a_fence() -> None:
    model = ScriptedModel('```json\n{"sky": "grey", "degrees": 4}\n```')
    run = await ran(generator("answer", prompt="P", output=Weather), model)
    assert run.output == {"sky": "grey", "degrees": 4}


async def test_structured_output_is_repaired_once(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel(
        '{"sky": "canary", "degrees": "canary"}',
        Scripted('{"sky": "grey", "degrees": 4}', expect="/degrees: Input should be a valid integer"),
    )
    run = await ran(generator("answer", prompt="P", output=Weather, max_steps=1), model)
    assert run.output == {"sky": "grey", "degrees": 4}
    assert model.requests[1].messages[-2] == AssistantMessage('{"sky": "canary", "degrees": "canary"}')
    assert "the model's answer does not fit: /degrees" in caplog.text
    assert "canary" not in caplog.text


async def test_structured_output_that_never_fits(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel("canary?", Scripted("[]", expect="not valid JSON"))
    run = await ran(generator("answer", prompt="P", output=Weather), model, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable, run.failure.details) == ("OUTPUT_INVALID", False, {})
    assert "canary" not in repr(run.failure) + caplog.text
    model.check_done()


async def test_a_model_that_is_away_for_a_moment_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    away = Scripted(ModelUnavailableError("canary"))
    model = ScriptedModel(away, away, away, "hello")
    run = await ran(generator("answer", prompt="P"), model)
    assert run.output == "hello"
    assert caplog.text.count("canary") == 3
    model.check_done()


async def test_a_model_that_stays_away(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel(*[Scripted(ModelUnavailableError("canary"))] * 4)
    run = await ran(generator("answer", prompt="P"), model, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable) == ("MODEL_UNAVAILABLE", True)
    assert run.failure.message == "the language model is not available"
    assert run.items == []
    assert caplog.text.count("canary") == 4
    model.check_done()


@pytest.mark.parametrize("first", ["Hel", ThoughtDelta("hm"), calls("today")])
async def test_a_model_that_breaks_off_is_not_asked_again_and_what_it_said_stays(first: Any) -> None:
    model = ScriptedModel(Scripted(first, ModelUnavailableError("cut")))
    run = await ran(generator("answer", prompt="P", tools=[today]), model, check=False)
    assert run.failure is not None
    assert run.failure.reason == "MODEL_UNAVAILABLE"
    said = {"Hel": [("message", "Hel")], ThoughtDelta("hm"): [("reasoning", "hm")]}
    assert kinds(run) == said.get(first, [])
    model.check_done()


async def test_an_answer_without_an_end_has_broken_off() -> None:
    class Hasty:
        async def stream_answer(self, request: Any, /) -> Any:
            yield Usage("p", "m", 1, 1)

    run = await run_flow(flow_of(generator("answer", prompt="P", model=Hasty())), "say", "hi", check=False)
    assert run.failure is not None
    assert run.failure.reason == "MODEL_UNAVAILABLE"
    assert [event.type for event in run.events].count(EventType.MODEL_USAGE) == 4


@pytest.mark.parametrize("parts", [(ModelRefusedError("canary"),), (Ended(EndReason.REFUSED),)])
async def test_a_refusal(parts: tuple[Any, ...]) -> None:
    model = ScriptedModel(Scripted(*parts))
    run = await ran(generator("answer", prompt="P"), model, check=False)
    assert run.failure is not None
    assert (run.failure.reason, run.failure.retryable) == ("MODEL_REFUSED", False)
    assert "canary" not in run.failure.message
    model.check_done()


async def test_an_answer_that_is_too_long_is_as_long_as_it_came() -> None:
    run = await ran(generator("answer", prompt="P"), ScriptedModel(Scripted("Hel", Ended(EndReason.LENGTH))))
    assert run.output == "Hel"


async def test_stalls_end() -> None:
    never = asyncio.Event()
    model = ScriptedModel(Scripted(never), Scripted("Hel", never))
    block = generator("answer", prompt="P", first_token_timeout=0.05, token_timeout=0.05)
    run = await ran(block, model, check=False)
    assert run.failure is not None
    assert run.failure.reason == "MODEL_UNAVAILABLE"
    assert kinds(run) == [("message", "Hel")]
    assert model.open == 0


async def test_cancel_closes_the_call_and_the_text_stays() -> None:
    model = ScriptedModel(Scripted("Hel", asyncio.Event()))
    async with FlowTester(flow_of(generator("answer", prompt="P")), dependencies=model) as tester:
        started = await tester.start("say", "hi")
        await model.called()
        await until(lambda: model.open == 1)
        run = await started.cancel()
        assert (run.status, kinds(run), model.open) == ("aborted", [("message", "Hel")], 0)


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


async def test_the_model_is_given_or_chosen_or_a_dependency() -> None:
    one, other = ScriptedModel("given"), ScriptedModel("chosen", "awaited")

    async def awaited(ctx: Any) -> ScriptedModel:
        return ctx.dependency(ScriptedModel)  # type: ignore[no-any-return]

    blocks = [
        generator("answer", prompt="P", model=one),
        generator("answer", prompt="P", model=lambda ctx: ctx.dependency(ScriptedModel)),
        generator("answer", prompt="P", model=awaited),
    ]
    assert [(await ran(block, other)).output for block in blocks] == ["given", "chosen", "awaited"]


async def test_a_model_that_is_missing_or_none() -> None:
    for block, problem in (
        (generator("answer", prompt="P"), "No dependency is a LanguageModel"),
        (generator("answer", prompt="P", model=cast(Any, lambda ctx: 5)), "must be a LanguageModel, not int"),
    ):
        with pytest.raises(FlowRunFailed, match=problem):
            await run_flow(flow_of(block), "say", "hi")


async def test_audiences() -> None:
    model = ScriptedModel(Scripted(ThoughtDelta("hm"), "A", calls("today")), "B")
    block = generator(
        "answer",
        prompt="P",
        tools=[today],
        audiences=[Audience.CLIENT],
        reasoning_audiences=[],
        tool_audiences=[Audience.HISTORY],
    )
    run = await ran(block, model)
    assert [(item.kind.value, set(item.audiences)) for item in run.items] == [
        ("reasoning", set()),
        ("message", {"client"}),
        ("tool_call", {"history"}),
        ("tool_output", {"history"}),
        ("message", {"client"}),
    ]


async def test_settings_reach_the_model() -> None:
    model = ScriptedModel("")
    await ran(generator("answer", prompt="P", settings={"temperature": 0.2}), model)
    assert model.requests[0].settings == {"temperature": 0.2}


async def test_text_without_a_utf8_form_is_kept_as_well_as_it_can_be() -> None:
    run = await ran(generator("answer", prompt="P"), ScriptedModel(Scripted("a\ud800b", "c")))
    assert run.output == "a?bc"


async def test_a_generator_is_a_tool_like_any_other_block() -> None:
    expert = generator("expert", prompt="You know.", input=str, description="Knows.", audiences=[])
    model = ScriptedModel(
        Scripted(calls("expert", {"input": "why?"})), Scripted("Because.", expect="why?"), "So."
    )
    run = await ran(generator("answer", prompt="P", tools=[expert]), model)
    assert run.output == "So."
    assert model.requests[0].tools[0].description == "Knows."
    assert model.requests[2].messages[-1].text == "Because."


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"model": 5}, 'the model of generator "g" must be a LanguageModel or a function'),
        ({"prompt": 5}, 'the prompt of generator "g" must be a text or a function, not int'),
        (
            {"prompt": lambda value: ""},
            r'the prompt of generator "g" must take \(input, context\), not \(value\)',
        ),
        ({"history": 5}, 'the history of generator "g" must be Turns'),
        ({"max_steps": 0}, 'max_steps of generator "g"'),
        ({"max_steps": True}, 'max_steps of generator "g"'),
        ({"token_timeout": 0}, 'the time limits of generator "g"'),
        ({"first_token_timeout": float("inf")}, 'the time limits of generator "g"'),
        (
            {"output": int},
            "the output of generator \"g\" must be str or a model with fields, not <class 'int'>",
        ),
        ({"output": list[Weather]}, 'the output of generator "g" must be str or a model'),
        ({"tools": [len]}, 'generator "g" has a tool, which needs a block, not the function len'),
        ({"tools": [today, today]}, 'generator "g" has two tools of the name "today"'),
        (
            {"tools": [handler(name="look it up")(look_up.__wrapped__)]},
            'tool "look it up" of generator "g" needs a name',
        ),
        ({"tools": [sequencer("nothing")]}, 'sequencer "nothing" is empty'),
    ],
)
def test_what_can_not_work_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        generator("g", **{"prompt": "P", **options})


def test_what_it_is() -> None:
    block = generator("answer", prompt="P", tools=[forecast], output=Weather, input=Say)
    assert isinstance(block, Generator)
    assert (block.kind, block.input_type, block.output_type) == ("generator", Say, Weather)
    assert block.children == (forecast,)
    assert repr(block) == "<generator answer>"
    assert generator("answer", prompt="P").input_type is Any
    assert generator("answer", prompt=lambda value, ctx: "").input_type is Any


async def test_the_log_names_generator_and_request(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedModel(Scripted(ModelUnavailableError("gone\nfor good")), "hi")
    with caplog.at_level(logging.WARNING):
        run = await ran(generator("answer", prompt="P"), model)
    assert f'generator "answer" of request {run.request_id}: ' in caplog.text
    assert "gone for good; attempt 2 follows in" in caplog.text


async def test_cancelled_at_any_moment_nothing_goes_on() -> None:
    running = 0

    @handler
    async def count(number: int, ctx: Context) -> int:
        nonlocal running
        running += 1
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            await ctx.session.patch_state(number=number)
        finally:
            running -= 1
        return number

    class Number(BaseModel):
        number: int = 0

    two_calls = Scripted(
        "I ", "count. ", calls("count", {"input": 1}, "a"), calls("count", {"input": 2}, "b")
    )
    block = generator("answer", prompt="P", tools=[count], history=Turns(3))
    flow = define_flow(kind="chat", actions={"say": action(block=block)}, session=Session(state=Number))
    statuses = set()
    for turns in range(90):
        model = ScriptedModel(two_calls, Scripted("Do", "ne."))
        async with FlowTester(flow, dependencies=model) as tester:
            started = await tester.start("say", "hi")
            for _ in range(turns):
                await asyncio.sleep(0)
            run = await started.cancel()
            statuses.add(run.status)
            assert (running, model.open) == (0, 0), turns
            version = run.session.version
            for _ in range(20):
                await asyncio.sleep(0)
            after = await tester.look_at(run.record)
            assert [event.type for event in after.events] == run.event_types(), turns
            assert after.session.version == version, turns
    assert statuses == {"aborted", "completed"}


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
