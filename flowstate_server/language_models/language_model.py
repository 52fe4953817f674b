"""What a generator asks of a language model, and what comes back: plain values, so that any model can be behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class SystemMessage:
    """What the model is told to be and to do."""

    text: str


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What the model is asked."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for a tool. ``arguments`` is JSON text as the model wrote it, which may be anything."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class AssistantMessage:
    """What the model has answered before. ``native`` is that of the answer's :class:`Ended`, ``None`` for answers of
    earlier executions."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    native: object = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a tool call: text, or JSON text. It follows the message that has the call."""

    call_id: str
    name: str
    text: str
    failed: bool = False


Message = SystemMessage | UserMessage | AssistantMessage | ToolResult


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that the model may call. ``input_schema`` is the JSON Schema of an object."""

    name: str
    description: str
    input_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """One call of a model.

    Attributes:
        messages: What was said so far, oldest first; instructions are the first.
        tools: What the model may call.
        output_schema: The JSON Schema of an object that the text of the answer has to be; ``None`` for free text. The
            model is asked for it as well as it can be; who asks checks what comes.
        settings: As the author gave them: ``temperature``, ``max_tokens`` and so on.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    output_schema: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text. An empty one says only that the model is at work."""

    text: str


@dataclass(frozen=True, slots=True)
class ThoughtDelta:
    """A piece of what the model thinks; an empty one as in :class:`TextDelta`."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the call has used. The last of an answer counts."""

    provider: str
    model: str
    input_tokens: int
    output_tokens: int


class EndReason(StrEnum):
    """How an answer ended."""

    DONE = "done"
    """It is whole; it may ask for tools."""
    LENGTH = "length"
    """It was cut off by a limit of tokens. A generator takes what came for the answer: a text that is cut is its
    output."""
    REFUSED = "refused"
    """A filter or the model itself let no more of it out."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The last part of every answer: one that ends without it has broken off.

    ``native`` is whatever the model wants to see of this answer in the further calls of the same execution, beyond text
    and tool calls: signatures of its thoughts, ids.
    """

    reason: EndReason = EndReason.DONE
    native: object = None


AnswerPart = TextDelta | ThoughtDelta | ToolCall | Usage | Ended


@runtime_checkable
class LanguageModel(Protocol):
    """A language model. One serves many runs at once."""

    def stream_answer(self, request: ModelRequest, /) -> AsyncIterator[AnswerPart]:
        """Call the model, and give its answer part by part as it comes; to be written as an async generator. Its last
        part is an :class:`Ended`; what is no part fails the run.

        A tool call is given whole, with empty deltas while it comes in pieces. Nothing is tried again here: who asks
        decides that by the kind of error. When the generator is closed or cancelled it closes its connection at once.

        Raises:
            ModelUnavailableError: it can't be reached, is overloaded, or broke off; trying again may help.
            ModelRefusedError: it does not take this request, or gives no answer to it; trying again does not help.
            ModelAnswerError: what came can't be read.
        """
        ...
