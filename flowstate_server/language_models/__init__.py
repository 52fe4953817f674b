"""Language models behind one small protocol, so that a generator works with any of them.

Values and protocol can be had from this module; an adapter is a module here that loads its library when it is imported.
"""

from __future__ import annotations

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
    LanguageModel,
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

__all__ = [
    "AnswerPart",
    "AssistantMessage",
    "EndReason",
    "Ended",
    "LanguageModel",
    "Message",
    "ModelAnswerError",
    "ModelCallError",
    "ModelRefusedError",
    "ModelRequest",
    "ModelUnavailableError",
    "SystemMessage",
    "TextDelta",
    "ThoughtDelta",
    "ToolCall",
    "ToolResult",
    "ToolSpec",
    "Usage",
    "UserMessage",
]
