"""What the adapter tells a model of pydantic-ai, and makes of what that answers. Endpoints are in tests/faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_ai import exceptions, messages as theirs
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaThinkingCalls,
    DeltaThinkingPart,
    DeltaToolCall,
    DeltaToolCalls,
    FunctionModel,
)

from flowstate_server.errors import (
    ModelAnswerError,
    ModelCallError,
    ModelRefusedError,
    ModelUnavailableError,
)
from flowstate_server.language_models import (
    AnswerPart,
    AssistantMessage,
    Ended,
    EndReason,
    Message,
    ModelRequest,
    SystemMessage,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    UserMessage,
)
from flowstate_server.language_models.pydantic_ai import PydanticAIModel

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
Piece = str | DeltaToolCalls | DeltaThinkingCalls


class Played:
    """A model of pydantic-ai that gives ``pieces``; ``messages`` and ``info`` are what it was told."""

    def __init__(self, *pieces: Piece, error: Exception | None = None) -> None:
        self._pieces = pieces
        self._error = error
        self.messages: list[theirs.ModelMessage] = []
        self.info: Any = None
        self.model = PydanticAIModel(FunctionModel(stream_function=self._stream, model_name="played"))

    async def _stream(self, messages: list[theirs.ModelMessage], info: AgentInfo) -> AsyncIterator[Piece]:
        self.messages, self.info = messages, info
        for piece in self._pieces:
            yield piece
        if self._error is not None:
            raise self._error

    async def answer(self, *messages: Message, **more: Any) -> list[AnswerPart]:
        request = ModelRequest(messages=messages or (UserMessage("hi"),), **more)
        return [part async for part in self.model.stream_answer(request)]


def parts_told(played: Played) -> list[list[tuple[str, Any]]]:
    return [
        [
            (part.part_kind, getattr(part, "content", None) or getattr(part, "args", None))
            for part in message.parts
        ]
        for message in played.messages
    ]


async def test_text_and_thoughts_come_piece_by_piece() -> None:
    played = Played({0: DeltaThinkingPart(content="hm")}, {0: DeltaThinkingPart(content=" hm")}, "Hel", "lo")
    *parts, usage, end = await played.answer()
    assert [part for part in parts if getattr(part, "text", "")] == [
        ThoughtDelta("hm"),
        ThoughtDelta(" hm"),
        TextDelta("Hel"),
        TextDelta("lo"),
    ]
    assert isinstance(usage, Usage)
    assert (usage.provider, usage.model) == ("function", "played")
    assert usage.input_tokens > 0
    assert isinstance(end, Ended)
    assert end.reason is EndReason.DONE
    assert isinstance(end.native, theirs.ModelResponse)


async def test_a_call_comes_whole_and_its_pieces_say_that_the_model_is_at_work() -> None:
    played = Played(
        {0: DeltaToolCall("search", '{"n"', tool_call_id="a")},
        {0: DeltaToolCall(json_args=": 1}")},
        {1: DeltaToolCall("today", "", tool_call_id="b")},
    )
    parts = await played.answer()
    assert parts.index(TextDelta("")) == 0
    assert [part for part in parts if isinstance(part, ToolCall)] == [
        ToolCall("a", "search", '{"n": 1}'),
        ToolCall("b", "today", ""),
    ]


async def test_what_was_said_is_told() -> None:
    played = Played("ok")
    await played.answer(
        SystemMessage("Be kind."),
        UserMessage("hi"),
        AssistantMessage("I look.", (ToolCall("a", "search", '{"n": 1}'),)),
        ToolResult("a", "search", "one"),
        ToolResult("b", "search", "no", failed=True),
        UserMessage("and?"),
    )
    assert parts_told(played) == [
        [("system-prompt", "Be kind."), ("user-prompt", "hi")],
        [("text", "I look."), ("tool-call", '{"n": 1}')],
        [("tool-return", "one"), ("tool-return", "no"), ("user-prompt", "and?")],
    ]
    returns = [part for part in played.messages[2].parts if isinstance(part, theirs.ToolReturnPart)]
    assert [(part.tool_call_id, part.tool_name, part.outcome) for part in returns] == [
        ("a", "search", "success"),
        ("b", "search", "failed"),
    ]


async def test_an_answer_of_the_same_execution_goes_back_as_it_came() -> None:
    came = theirs.ModelResponse(parts=[theirs.ThinkingPart("hm", signature="signed"), theirs.TextPart("one")])
    played = Played("ok")
    await played.answer(UserMessage("hi"), AssistantMessage("one", native=came), UserMessage("on"))
    assert played.messages[1] is came


async def test_tools_settings_and_schema_are_told() -> None:
    played = Played('{"n": 1}')
    tools = [
        ToolSpec("search", "Finds.", SCHEMA),
        ToolSpec("today", "", {"type": "object", "properties": {}}),
    ]
    await played.answer(tools=tools, settings={"temperature": 0.5}, output_schema=SCHEMA)
    told = played.info.function_tools
    assert [(tool.name, tool.description, tool.parameters_json_schema) for tool in told] == [
        ("search", "Finds.", SCHEMA),
        ("today", None, {"type": "object", "properties": {}}),
    ]
    assert played.info.model_settings["temperature"] == 0.5
    output = played.info.model_request_parameters.output_object
    assert output is not None
    assert output.json_schema == SCHEMA


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.ModelHTTPError(429, "m"), ModelUnavailableError),
        (exceptions.ModelHTTPError(408, "m"), ModelUnavailableError),
        (exceptions.ModelHTTPError(500, "m"), ModelUnavailableError),
        (exceptions.ModelHTTPError(401, "m"), ModelRefusedError),
        (exceptions.ModelHTTPError(413, "m"), ModelRefusedError),
        (exceptions.ModelQuotaExceededError("m", "pay first"), ModelRefusedError),
        (exceptions.ModelAPIError("m", "gone"), ModelUnavailableError),
        (exceptions.ContentFilterError("no"), ModelRefusedError),
        (exceptions.UnexpectedModelBehavior("what?"), ModelAnswerError),
        (ValueError("no JSON"), ModelAnswerError),
        (ConnectionResetError("reset"), ModelAnswerError),
    ],
)
async def test_failures_are_told_by_their_kind(error: Exception, kind: type[ModelCallError]) -> None:
    with pytest.raises(kind) as failed:
        await Played("Hel", error=error).answer()
    assert type(failed.value) is kind
    assert type(error).__name__ in failed.value.problem


async def test_a_provider_s_wait_is_told() -> None:
    error = exceptions.ModelHTTPError(429, "m", headers={"Retry-After": "7"})
    with pytest.raises(ModelUnavailableError) as failed:
        await Played("Hel", error=error).answer()
    assert failed.value.retry_after == 7.0


async def test_a_mistake_of_the_author_is_no_failure_of_the_call() -> None:
    with pytest.raises(exceptions.UserError):
        await Played("Hel", error=exceptions.UserError("no key")).answer()
