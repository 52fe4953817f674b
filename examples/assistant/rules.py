"""A stand-in for a language model: it calls tools and answers by simple rules. So a model of your own is written."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator

from flowstate_server.language_models import (
    AnswerPart,
    Ended,
    ModelRequest,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)

SECONDS_A_WORD = 0.004


class ModelByRules:
    async def stream_answer(self, request: ModelRequest, /) -> AsyncIterator[AnswerPart]:
        last = request.messages[-1]
        called = _call(last.text) if isinstance(last, UserMessage) else None
        if called is not None:
            name, arguments = called
            yield ToolCall(f"call_{len(request.messages)}", name, json.dumps(arguments))
        else:
            for word in re.findall(r"\S+\s*", _answer(last)):
                await asyncio.sleep(SECONDS_A_WORD)
                yield TextDelta(word)
        yield Usage("examples", "rules", sum(len(message.text) for message in request.messages) // 4, 20)
        yield Ended()


def _call(said: str) -> tuple[str, dict[str, object]] | None:
    order = re.search(r"\border (\d+)", said, re.IGNORECASE)
    if order is None:
        return None
    number = int(order.group(1))
    if re.search(r"\b(broken|missing|wrong|late)\b", said, re.IGNORECASE):
        return "open_ticket", {"order": number, "text": said}
    return "order_status", {"number": number}


def _answer(last: object) -> str:
    if not isinstance(last, ToolResult):
        return "Hello! I am only a set of rules. Which order is it about?"
    if last.failed:
        return f"Sorry: {json.loads(last.text)['error']}."
    return f"I am sorry to hear that: {last.text}." if last.name == "open_ticket" else f"It is {last.text}."
