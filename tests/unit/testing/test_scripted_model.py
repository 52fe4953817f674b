"""The scripted model keeps its script, and tells where others did not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate_server.language_models import (
    AnswerPart,
    Ended,
    EndReason,
    LanguageModel,
    ModelRequest,
    ModelUnavailableError,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    Usage,
    UserMessage,
)
from flowstate_server.testing import Scripted, ScriptedModel, calls


def asked(text: str) -> ModelRequest:
    return ModelRequest(messages=[UserMessage(text)])


async def answer(model: LanguageModel, text: str = "hi") -> list[AnswerPart]:
    return [part async for part in model.stream_answer(asked(text))]


async def test_it_answers_in_the_order_of_the_script() -> None:
    model = ScriptedModel(Scripted("one ", "two"), "three", Scripted(calls("search", {"q": 1})))
    assert isinstance(model, LanguageModel)
    assert await answer(model, "12345678") == [
        TextDelta("one "),
        TextDelta("two"),
        Usage("scripted", "script", 2, 2),
        Ended(),
    ]
    assert (await answer(model))[0] == TextDelta("three")
    assert (await answer(model))[0] == ToolCall("call_search", "search", '{"q":1}')
    assert model.requests == [asked("12345678"), asked("hi"), asked("hi")]
    model.check_done()


async def test_usage_and_the_end_are_those_of_the_script_where_it_has_them() -> None:
    model = ScriptedModel(
        Scripted("a", Usage("p", "m", 7, 8), Ended(EndReason.LENGTH)), Scripted("b", Ended())
    )
    assert await answer(model) == [TextDelta("a"), Usage("p", "m", 7, 8), Ended(EndReason.LENGTH)]
    assert await answer(model) == [TextDelta("b"), Usage("scripted", "script", 1, 1), Ended()]


async def test_a_call_that_the_script_does_not_have() -> None:
    model = ScriptedModel("one")
    await answer(model)
    with pytest.raises(AssertionError, match=r"call 2 is not in the script, which has 1; .*'again'"):
        await answer(model, "again")
    with pytest.raises(AssertionError, match="call 2 is not in the script"):
        model.check_done()


async def test_a_call_that_the_script_has_otherwise() -> None:
    model = ScriptedModel(
        Scripted("one", expect="rain"), Scripted("two", expect=lambda request: request.tools)
    )
    for problem in (r"call 1 .* expects \('rain'\); .*'snow'", "call 2 .* expects; "):
        with pytest.raises(AssertionError, match=problem):
            await answer(model, "snow")
    with pytest.raises(AssertionError, match="call 1"):
        model.check_done()


async def test_a_script_that_is_not_at_its_end() -> None:
    model = ScriptedModel("one", "two")
    await answer(model)
    with pytest.raises(AssertionError, match="the script has 2 calls, but 1 came"):
        model.check_done()


@pytest.mark.parametrize("part", [17, None, b"x", {"text": "x"}, ["x"], TextDelta])
def test_a_part_that_is_none_is_refused(part: Any) -> None:
    with pytest.raises(
        TypeError, match=rf"^part 2 of Scripted must be a text, .*, not {type(part).__name__}$"
    ):
        Scripted("a", part, "b")


@pytest.mark.parametrize("part", [ValueError("boom"), ValueError, ModelUnavailableError])
def test_an_error_that_no_model_raises_is_refused_with_what_to_give(part: Any) -> None:
    with pytest.raises(TypeError, match="; to fail, give a ModelCallError such as Model"):
        Scripted(part)


@pytest.mark.parametrize("entry", [ModelUnavailableError("gone"), TextDelta("x"), None])
def test_an_entry_that_is_none_is_refused(entry: Any) -> None:
    with pytest.raises(TypeError, match=r"^entry 2 of the script must be a Scripted or a text, not "):
        ScriptedModel("one", entry)


async def test_every_part_that_there_is() -> None:
    going_on = asyncio.Event()
    going_on.set()
    given: list[AnswerPart] = [TextDelta("a"), ThoughtDelta("b"), calls("c"), Usage("p", "m", 1, 1), Ended()]
    assert await answer(ScriptedModel(Scripted("x", going_on, *given))) == [TextDelta("x"), *given]


async def test_it_fails_and_stalls_as_the_script_says() -> None:
    going_on = asyncio.Event()
    model = ScriptedModel(Scripted("a", ModelUnavailableError("gone")), Scripted("b", going_on, "c"))
    failing = model.stream_answer(asked("hi"))
    assert await anext(failing) == TextDelta("a")
    with pytest.raises(ModelUnavailableError):
        await anext(failing)

    stalled = asyncio.create_task(answer(model))
    assert await model.called(2) == asked("hi")
    assert model.open == 1
    assert not stalled.done()
    going_on.set()
    assert [part.text for part in await stalled if isinstance(part, TextDelta)] == ["b", "c"]
    assert model.open == 0
