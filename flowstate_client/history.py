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
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from flowstate_client.conversation import LeftOut, Said, conversation
from flowstate_client.errors import hides_our_frames
from flowstate_client.models import Item

__tracebackhide__ = hides_our_frames

_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")
"""Of calls of Anthropic."""


class AnthropicConversation(NamedTuple):
    """What goes into ``messages.create(system=..., messages=...)``; ``system`` is empty where nobody instructed."""

    system: str
    messages: list[Any]


def openai_chat_messages(
    items: Iterable[Item], *, reasoning: bool = False, on_left_out: LeftOut | None = None
) -> list[Any]:
    """Messages of the chat completions of OpenAI, and of all who speak them."""
    made: list[Any] = []
    for one in conversation(items, reasoning, on_left_out):
        if isinstance(one, Said):
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
    for one in conversation(items, reasoning, on_left_out):
        if isinstance(one, Said):
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

    for one in conversation(items, reasoning, on_left_out, refused=_NOT_IN_IDS):
        if isinstance(one, Said):
            if one.role == "system":
                instructions.append(one.text)
            elif one.text.strip():  # blank text is refused
                add("user", {"type": "text", "text": one.text})
            continue
        if one.text.strip():
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

    for one in conversation(items, reasoning, on_left_out):
        if isinstance(one, Said):
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
