"""What a model is told beside the history of its session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from flowstate_server.flows.context import Context

AnyContext = Context[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """Instructions for the model, and what it is asked in place of the block's input; ``message=None``: nothing, the
    history says it all."""

    instructions: str
    message: str | None


PromptFunction = Callable[[Any, AnyContext], str | Prompt | Awaitable[str | Prompt]]
