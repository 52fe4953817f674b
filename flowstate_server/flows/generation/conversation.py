"""What a model is told: instructions, what a session's history has for it, and what it is asked now."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from flowstate_server.flows.generation.prompt import Prompt
from flowstate_server.flows.generation.schemas import INPUT
from flowstate_server.language_models import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolResult,
    UserMessage,
)
from flowstate_server.model.items import ItemKind
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.programs.history import HistoryItem

_INSTRUCTING = ("system", "developer")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def conversation(prompt: Prompt, history: Sequence[HistoryItem]) -> list[Message]:
    """The messages of a first call. Where there would be nothing but instructions, they are what the user asks: not
    every provider takes a conversation in which nobody has said anything."""
    said = list(_messages(history))
    if prompt.message:
        said.append(UserMessage(prompt.message))
    if not said:
        return [UserMessage(prompt.instructions)]
    return [SystemMessage(prompt.instructions), *said] if prompt.instructions else said


def user_has_spoken(history: Iterable[HistoryItem], request_id: str) -> bool:
    """Whether the running request itself has added what its user says."""
    return any(
        item.request_id == request_id and item.kind is ItemKind.MESSAGE and item.role == "user"
        for item in history
    )


def as_text(value: Json) -> str:
    """``value`` as a model reads it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else encode_json(value).decode()


class _Answer:
    """An answer of the model: text, or calls of tools with what came of them."""

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.calls: list[tuple[ToolCall, list[ToolResult]]] = []

    @property
    def may_go_on(self) -> bool:
        """Whether a further call can be of the same answer, or is made of what came of those before."""
        return not any(results for _, results in self.calls)

    def messages(self) -> Iterator[Message]:
        """Each call is followed by its result, behind the message that has it, or left out: providers refuse halves."""
        done = [(call, results[0]) for call, results in self.calls if results]
        if self.text or done:
            yield AssistantMessage(self.text, tuple(call for call, _ in done))
        yield from (result for _, result in done)


def _messages(history: Iterable[HistoryItem]) -> Iterator[Message]:
    said: list[Message | _Answer] = []
    waiting: dict[str, deque[list[ToolResult]]] = {}
    for item in history:
        match item.kind:
            case ItemKind.MESSAGE if item.role == "assistant":
                said.append(_Answer(item.text))
            case ItemKind.ERROR:
                said.append(_Answer(_member(item, "message")))
            case ItemKind.MESSAGE if item.text:
                kind = SystemMessage if item.role in _INSTRUCTING else UserMessage
                said.append(kind(item.text))
            case ItemKind.TOOL_CALL:
                answer = said[-1] if said else None
                if not (isinstance(answer, _Answer) and answer.may_go_on):
                    said.append(answer := _Answer())
                results: list[ToolResult] = []
                call = ToolCall(item.call_id, tool_name(item.name), _arguments(item))
                answer.calls.append((call, results))
                waiting.setdefault(item.call_id, deque()).append(results)
            case ItemKind.TOOL_OUTPUT if waiting.get(item.call_id):
                output = _member(item, "output")
                waiting[item.call_id].popleft().append(ToolResult(item.call_id, tool_name(item.name), output))
            case (
                _
            ):  # thoughts of others' making are no part of what was said, and custom items are the flow's own
                pass
    for one in said:
        if isinstance(one, _Answer):
            yield from one.messages()
        else:
            yield one


def tool_name(name: str) -> str:
    """``name`` as every provider takes it."""
    return _NOT_IN_NAMES.sub("_", name)[:64] or "tool"


def _arguments(item: HistoryItem) -> str:
    """As the JSON text of an object, which providers insist on; a block may have written anything."""
    given = item.content["arguments"] if isinstance(item.content, dict) else None
    return as_text(given if isinstance(given, dict) else {INPUT: given})


def _member(item: HistoryItem, name: str) -> str:
    return as_text(item.content[name]) if isinstance(item.content, dict) and name in item.content else ""
