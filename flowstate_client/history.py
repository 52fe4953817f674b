"""Conversations as language models are told them: from items to messages of the common APIs.

::

    items = [item async for item in client.sessions.items(session_id, last_turns=20)]
    await openai.chat.completions.create(model=..., messages=openai_chat_messages(items))

It is what generators on the server tell their models: items for the audience ``history``; a tool call is part of what
was said before it, and its output follows it; calls without outputs and outputs without calls are left out, since
providers refuse halves; errors are something that was said. Other kinds (``custom``, and those that this version does
not know) are left out and, like halves, told to ``on_left_out`` if it is given. Reasoning is left out unless
``reasoning=True``: then it is text of the assistant between ``<thinking>`` and ``</thinking>``, since only those who
made them can sign thoughts of a model.

Items of one request stay together, requests go by their last items: give items as ``client.sessions.items`` lists them,
with ``last_turns`` if only what was completed is to be told. Results are lists of plain dicts, typed ``Any`` since each
library has types of its own for them. Call ids are kept, but a number is added to one that comes again, and where an
API takes only some characters the others become ``_``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from flowstate_client.models import Item

LeftOut = Callable[[Item], object]

# As generators on the server write them (its ``flows/generation``).
_INSTRUCTING = ("system", "developer")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_INPUT = "input"
_TOOLS = ("tool_call", "tool_output")


class AnthropicConversation(NamedTuple):
    """What goes into ``messages.create(system=..., messages=...)``; ``system`` is empty where nobody instructed."""

    system: str
    messages: list[Any]


def openai_chat_messages(
    items: Iterable[Item], *, reasoning: bool = False, on_left_out: LeftOut | None = None
) -> list[Any]:
    """Messages of the chat completions of OpenAI, and of all who speak them."""
    made: list[Any] = []
    for one in _conversation(items, reasoning, on_left_out):
        if isinstance(one, _Said):
            made.append({"role": one.role, "content": one.text})
            continue
        message: dict[str, Any] = {"role": "assistant", "content": one.text or None}
        if one.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in one.calls
            ]
        made.append(message)
        made += [{"role": "tool", "tool_call_id": call.id, "content": call.output} for call in one.calls]
    return made


def openai_response_items(
    items: Iterable[Item], *, reasoning: bool = False, on_left_out: LeftOut | None = None
) -> list[Any]:
    """Input items of the Responses API of OpenAI."""
    made: list[Any] = []
    for one in _conversation(items, reasoning, on_left_out):
        if isinstance(one, _Said):
            made.append({"role": one.role, "content": one.text})
            continue
        if one.text:
            made.append({"role": "assistant", "content": one.text})
        made += [
            {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
            for call in one.calls
        ]
        made += [
            {"type": "function_call_output", "call_id": call.id, "output": call.output} for call in one.calls
        ]
    return made


def anthropic_messages(
    items: Iterable[Item], *, reasoning: bool = False, on_left_out: LeftOut | None = None
) -> AnthropicConversation:
    """Messages of Anthropic, of turns that alternate, and apart from them what instructs the model."""
    instructions: list[str] = []
    messages: list[dict[str, Any]] = []

    def add(role: str, *blocks: dict[str, Any]) -> None:
        if blocks and messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": role, "content": [*blocks]})

    for one in _conversation(items, reasoning, on_left_out, allowed=_NOT_IN_NAMES):
        if isinstance(one, _Said):
            if one.role == "system":
                instructions.append(one.text)
            else:
                add("user", {"type": "text", "text": one.text})
            continue
        if one.text.strip():  # blank text is refused
            add("assistant", {"type": "text", "text": one.text})
        for call in one.calls:
            given = orjson.loads(call.arguments)
            add("assistant", {"type": "tool_use", "id": call.id, "name": call.name, "input": given})
        for call in one.calls:
            add("user", {"type": "tool_result", "tool_use_id": call.id, "content": call.output})
    return AnthropicConversation("\n\n".join(instructions), messages)


def pydantic_ai_messages(
    items: Iterable[Item], *, reasoning: bool = False, on_left_out: LeftOut | None = None
) -> list[Any]:
    """What ``pydantic_ai.ModelMessagesTypeAdapter.validate_python`` makes a ``message_history`` of."""
    made: list[dict[str, Any]] = []

    def ask(part: dict[str, Any]) -> None:
        if not made or made[-1]["kind"] != "request":
            made.append({"kind": "request", "parts": []})
        made[-1]["parts"].append(part)

    for one in _conversation(items, reasoning, on_left_out):
        if isinstance(one, _Said):
            ask({"part_kind": f"{one.role}-prompt", "content": one.text})
            continue
        parts: list[dict[str, Any]] = [{"part_kind": "text", "content": one.text}] if one.text else []
        parts += [
            {
                "part_kind": "tool-call",
                "tool_name": call.name,
                "args": call.arguments,
                "tool_call_id": call.id,
            }
            for call in one.calls
        ]
        made.append({"kind": "response", "parts": parts})
        for call in one.calls:
            ask(
                {
                    "part_kind": "tool-return",
                    "tool_name": call.name,
                    "content": call.output,
                    "tool_call_id": call.id,
                }
            )
    return made


@dataclass(slots=True)
class _Said:
    """What somebody else than the model has said; ``role`` is ``user`` or ``system``."""

    role: str
    text: str


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: str
    output: str
    item: Item
    has_output: bool = False


@dataclass(slots=True)
class _Answer:
    """Text of the model, then calls of tools."""

    text: str = ""
    calls: list[_Call] = field(default_factory=list)

    @property
    def may_go_on(self) -> bool:
        """Whether a further call can be of the same answer, or is made of what came of those before."""
        return not any(call.has_output for call in self.calls)


def _conversation(
    items: Iterable[Item],
    reasoning: bool,
    on_left_out: LeftOut | None,
    allowed: re.Pattern[str] | None = None,
) -> Iterator[_Said | _Answer]:
    """What was said, in which calls have outputs, ids of their own, and only characters that are allowed."""
    tell = on_left_out or (lambda item: None)
    said: list[_Said | _Answer] = []
    waiting: dict[str, deque[_Call]] = {}
    for item in _whole(_by_request(items), tell):
        match item.kind:
            case "message" if item.role == "assistant":
                said.append(_Answer(item.text))
            case "message":
                if item.text:
                    said.append(_Said("system" if item.role in _INSTRUCTING else "user", item.text))
            case "error":
                said.append(_Answer(_member(item, "message")))
            case "reasoning" if reasoning:
                said.append(_Answer(f"<thinking>{item.text}</thinking>"))
            case "tool_call":
                answer = said[-1] if said else None
                if not (isinstance(answer, _Answer) and answer.may_go_on):
                    said.append(answer := _Answer())
                call = _Call(_call_id(item), _tool_name(item.name), _arguments(item), "", item)
                answer.calls.append(call)
                waiting.setdefault(call.id, deque()).append(call)
            case "tool_output":
                if waiting.get(_call_id(item)):
                    call = waiting[_call_id(item)].popleft()
                    call.output, call.has_output = _member(item, "output"), True
            case "reasoning":
                pass
            case _:
                tell(item)
    ids: set[str] = set()
    for one in said:
        if isinstance(one, _Answer):
            one.calls = [call for call in one.calls if call.has_output]
            for call in one.calls:
                call.id = _new_id(allowed.sub("_", call.id) if allowed else call.id, ids)
            if one.text or one.calls:
                yield one
        else:
            yield one


def _by_request(items: Iterable[Item]) -> list[Item]:
    """Those for the history, of one request together; requests by their last items."""
    given = [item for item in items if "history" in item.audiences and not item.removed]
    last = {item.request_id: place for place, item in enumerate(given)}
    return sorted(given, key=lambda item: last[item.request_id])


def _whole(items: Sequence[Item], tell: LeftOut) -> Iterator[Item]:
    """Without calls that have no output and outputs that have no call.

    An id names a call within its request only. An output that has no call there is of an earlier request's.
    """
    paired: set[int] = set()
    _pair(items, paired, lambda item: (item.request_id, _call_id(item)))
    _pair(items, paired, _call_id)
    for place, item in enumerate(items):
        if item.kind not in _TOOLS or place in paired:
            yield item
        else:
            tell(item)


def _pair(items: Sequence[Item], paired: set[int], of: Callable[[Item], Hashable]) -> None:
    """Add to ``paired`` the places of calls and outputs that belong together, the oldest call with the first output."""
    waiting: dict[Hashable, deque[int]] = {}
    for place, item in enumerate(items):
        if item.kind not in _TOOLS or not _call_id(item) or place in paired:
            continue
        calls = waiting.setdefault(of(item), deque())
        if item.kind == "tool_call":
            calls.append(place)
        elif calls:
            paired |= {calls.popleft(), place}


def _new_id(wanted: str, ids: set[str]) -> str:
    made, number = wanted, 1
    while made in ids:
        number += 1
        made = f"{wanted}_{number}"
    ids.add(made)
    return made


def _tool_name(name: str) -> str:
    return _NOT_IN_NAMES.sub("_", name)[:64] or "tool"


def _content(item: Item) -> Mapping[str, Any]:
    return item.content if isinstance(item.content, dict) else {}


def _call_id(item: Item) -> str:
    call_id = _content(item).get("call_id")
    return call_id if isinstance(call_id, str) else ""


def _arguments(item: Item) -> str:
    given = _content(item).get("arguments")
    return _text(given if isinstance(given, dict) else {_INPUT: given})


def _member(item: Item, name: str) -> str:
    return _text(_content(item)[name]) if name in _content(item) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
