"""Every model of pydantic-ai as a ``LanguageModel``. Needs the extra ``models``.

Used are its models alone, not its agents: what is asked again, which tools run and what becomes of an answer is decided
by generators.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, cast

from flowstate_server.errors import (
    ModelAnswerError,
    ModelCallError,
    ModelRefusedError,
    ModelUnavailableError,
)
from flowstate_server.language_models.language_model import (
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
    Usage,
    UserMessage,
)

try:
    from pydantic_ai import exceptions, messages as theirs
    from pydantic_ai.models import Model, ModelRequestParameters, infer_model
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import ToolDefinition
except ImportError as missing:
    raise ImportError(
        "flowstate_server.language_models.pydantic_ai needs the extra `models`; "
        "from a checkout: pip install '.[models]'"
    ) from missing

_ENDS: Mapping[str | None, EndReason] = {
    "length": EndReason.LENGTH,
    "content_filter": EndReason.REFUSED,
}
_FOR_GOOD = (
    exceptions.ContentFilterError,
    exceptions.ModelQuotaExceededError,
    exceptions.ModelRequestRejectedError,
)
_WORTH_ANOTHER_TRY = (408, 409, 425, 429)


class PydanticAIModel:
    """A ``LanguageModel`` of a model of pydantic-ai, or of its name there: ``"anthropic:claude-sonnet-4-5"``.

    ``async with`` it to have its connections closed in the end.
    """

    def __init__(self, model: Model | str) -> None:
        self._model = infer_model(model)

    async def __aenter__(self) -> Self:
        await self._model.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._model.__aexit__(kind, error, traceback)

    async def stream_answer(self, request: ModelRequest, /) -> AsyncIterator[AnswerPart]:
        messages, parameters = _messages(request.messages), self._parameters(request)
        try:
            async with self._model.request_stream(messages, self._settings(request), parameters) as response:
                async for event in response:
                    part = _delta(event)
                    if part is not None:
                        yield part
                answer = response.get()
        except exceptions.UserError:  # the author's mistake, not a failure of the call
            raise
        except Exception as error:
            raise _failure(error) from error
        for one in answer.parts:
            if isinstance(one, theirs.ToolCallPart):
                yield ToolCall(one.tool_call_id, one.tool_name, _json_text(one.args))
        yield Usage(
            answer.provider_name or self._model.system,
            answer.model_name or self._model.model_name,
            answer.usage.input_tokens,
            answer.usage.output_tokens,
        )
        if answer.state != "complete" or answer.finish_reason == "error":
            raise ModelUnavailableError(f"the answer is {answer.state}, its end: {answer.finish_reason}")
        yield Ended(_ENDS.get(answer.finish_reason, EndReason.DONE), native=answer)

    def _settings(self, request: ModelRequest) -> ModelSettings:
        """Without attempts of the provider's library: those would be attempts of attempts."""
        if "max_retries" in self._model.unsupported_settings:
            return cast(ModelSettings, dict(request.settings))
        return cast(ModelSettings, {**request.settings, "max_retries": 0})

    def _parameters(self, request: ModelRequest) -> ModelRequestParameters:
        tools = [
            ToolDefinition(
                name=tool.name,
                parameters_json_schema=dict(tool.input_schema),
                description=tool.description or None,
            )
            for tool in request.tools
        ]
        if request.output_schema is None:
            return ModelRequestParameters(function_tools=tools)
        native = self._model.profile.get("supports_json_schema_output", False)
        return ModelRequestParameters(
            function_tools=tools,
            output_mode="native" if native else "prompted",
            output_object=OutputObjectDefinition(dict(request.output_schema), name="output"),
        )


def openai_compatible(name: str, *, base_url: str, api_key: str) -> PydanticAIModel:
    """The model ``name`` of an endpoint that speaks the chat completions of OpenAI.

    An answer that does not say why it ended counts as broken off. For an endpoint that never says so, give
    :class:`PydanticAIModel` an ``OpenAIChatModel`` of yours.
    """
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider

    profile = OpenAIModelProfile(openai_chat_streaming_requires_finish_reason=True)
    provider = OpenAIProvider(base_url=base_url, api_key=api_key)
    return PydanticAIModel(OpenAIChatModel(name, provider=provider, profile=profile))


def _messages(given: Sequence[Message]) -> list[theirs.ModelMessage]:
    made: list[theirs.ModelMessage] = []
    asked: list[theirs.ModelRequestPart] = []
    for message in given:
        if not isinstance(message, AssistantMessage):
            asked.append(_request_part(message))
            continue
        if asked:
            made.append(theirs.ModelRequest(parts=asked))
            asked = []
        made.append(_response(message))
    if asked:
        made.append(theirs.ModelRequest(parts=asked))
    return made


def _request_part(message: SystemMessage | UserMessage | ToolResult) -> theirs.ModelRequestPart:
    match message:
        case SystemMessage(text=text):
            return theirs.SystemPromptPart(text)
        case UserMessage(text=text):
            return theirs.UserPromptPart(text)
        case ToolResult():
            return theirs.ToolReturnPart(
                message.name, message.text, message.call_id, outcome="failed" if message.failed else "success"
            )


def _response(message: AssistantMessage) -> theirs.ModelResponse:
    if isinstance(message.native, theirs.ModelResponse):
        return message.native
    parts: list[theirs.ModelResponsePart] = [theirs.TextPart(message.text)] if message.text else []
    parts += [theirs.ToolCallPart(call.name, call.arguments, call.call_id) for call in message.tool_calls]
    return theirs.ModelResponse(parts=parts)


def _delta(event: theirs.ModelResponseStreamEvent) -> AnswerPart | None:
    """What an event adds. Pieces of a tool call say that the model is at work; the whole call comes in the end."""
    match event:
        case theirs.PartStartEvent(part=theirs.TextPart(content=text)):
            return TextDelta(text) if text else None
        case theirs.PartStartEvent(part=theirs.ThinkingPart(content=text)):
            return ThoughtDelta(text)
        case theirs.PartDeltaEvent(delta=theirs.TextPartDelta(content_delta=text)):
            return TextDelta(text)
        case theirs.PartDeltaEvent(delta=theirs.ThinkingPartDelta(content_delta=thought)):
            return ThoughtDelta(thought or "")
        case theirs.PartStartEvent() | theirs.PartDeltaEvent():
            return TextDelta("")
        case _:
            return None


def _json_text(arguments: str | Mapping[str, Any] | None) -> str:
    if isinstance(arguments, str):
        return arguments
    return theirs.ToolCallPart("", cast(Any, arguments)).args_as_json_str()


def _failure(error: Exception) -> ModelCallError:
    told = f"{type(error).__name__}: {error}"
    if isinstance(error, _FOR_GOOD):
        return ModelRefusedError(told)
    if isinstance(error, exceptions.ModelHTTPError):
        status = error.status_code
        if status < 500 and status not in _WORTH_ANOTHER_TRY:
            return ModelRefusedError(told)
    if isinstance(error, exceptions.ModelAPIError):
        return ModelUnavailableError(told, error.retry_after)
    return ModelAnswerError(told)
