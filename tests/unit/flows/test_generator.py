"""Generators: how they are declared, what their model is told, and what comes of it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import (
    Audience,
    Context,
    Generator,
    Prompt,
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
    SystemMessage,
    ThoughtDelta,
    Usage,
    UserMessage,
)
from flowstate_server.model.events import EventType
from flowstate_server.testing import (
    FlowRunFailed,
    FlowTester,
    Scripted,
    ScriptedModel,
    calls,
    run_flow,
)
from tests.support.generating import Say, Tone, Weather, flow_of, forecast, kinds, look_up, ran, today


class Nothing(BaseModel):
    pass


class Anything(BaseModel, extra="allow"):
    pass


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
        ({"audiences": Audience.CLIENT}, 'generator "g": audiences: must be a list of client, internal'),
        ({"tool_audiences": ["cleint"]}, 'generator "g": audiences: must be a list of client, internal'),
        ({"max_steps": 0}, 'max_steps of generator "g"'),
        ({"max_steps": True}, 'max_steps of generator "g"'),
        ({"token_timeout": 0}, 'the time limits of generator "g"'),
        ({"first_token_timeout": float("inf")}, 'the time limits of generator "g"'),
        (
            {"output": int},
            "the output of generator \"g\" must be str or a model with fields, not <class 'int'>",
        ),
        (
            {"output": Nothing},
            'the output of generator "g" must be str or a model with fields, not .*Nothing',
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


@pytest.mark.parametrize("output", [Weather, dict[str, int], Anything])
def test_what_an_output_may_be(output: Any) -> None:
    assert generator("g", prompt="P", output=output).output_type == output


def test_what_it_is() -> None:
    block = generator("answer", prompt="P", tools=[forecast], output=Weather, input=Say)
    assert isinstance(block, Generator)
    assert (block.kind, block.input_type, block.output_type) == ("generator", Say, Weather)
    assert block.children == (forecast,)
    assert repr(block) == "<generator answer>"
    assert generator("answer", prompt="P").input_type is Any
    assert generator("answer", prompt=lambda value, ctx: "").input_type is Any
