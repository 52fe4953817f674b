"""One execution of a generator: calls of its model and of the tools that it asks for, until there is an output."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from flowstate_server.errors import ActionError, InvalidArgumentError
from flowstate_server.flows.generation.model_calls import Answer, ModelCalls
from flowstate_server.flows.generation.tools import ToolCalls, problems
from flowstate_server.language_models import (
    AssistantMessage,
    Message,
    ModelRequest,
    ToolSpec,
    UserMessage,
)
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import encode_json
from flowstate_server.state.json_profile import parse_json

_logger = logging.getLogger(__name__)

OUTPUT_INVALID = "OUTPUT_INVALID"
STEPS_EXCEEDED = "STEPS_EXCEEDED"

_FENCED = re.compile(r"\s*```\w*\s*\n(.*?)```\s*", re.DOTALL)
ReadOutput = Callable[[bytes], Any]
"""The output from the JSON text of an answer.

Raises:
    InvalidArgumentError: it does not fit.
"""


@frozen
class Task:
    """What an execution is to do. ``read_output`` is ``None`` where the text is the output; ``what`` is for the log."""

    tools: tuple[ToolSpec, ...]
    settings: Mapping[str, Any]
    max_steps: int
    output_schema: Mapping[str, Any] | None
    read_output: ReadOutput | None
    what: str


async def carry_out(task: Task, messages: list[Message], calls: ModelCalls, tools: ToolCalls) -> Any:
    """The output: the text of the last answer, or what ``read_output`` makes of it.

    Raises:
        ActionError: ``STEPS_EXCEEDED``, ``OUTPUT_INVALID`` after one repair, or what a call of the model has come to.
    """
    steps, repaired = 0, False
    while True:
        answer = await calls.answer(
            ModelRequest(
                messages=tuple(messages),
                tools=task.tools,
                output_schema=task.output_schema,
                settings=task.settings,
            )
        )
        messages.append(AssistantMessage(answer.text, tuple(answer.tool_calls), answer.native))
        if answer.tool_calls:
            steps += 1
            if steps >= task.max_steps:
                problem = f"the language model gave no answer within {task.max_steps} steps"
                raise ActionError(STEPS_EXCEEDED, problem)
            messages += await tools.run(answer.tool_calls)
            continue
        if task.read_output is None:
            return answer.text
        try:
            return task.read_output(_json_of(answer))
        except InvalidArgumentError as error:
            problem = problems(error).rstrip(".")
            _logger.warning("%s: the model's answer does not fit: %s", task.what, problem)
            if repaired:
                raise ActionError(
                    OUTPUT_INVALID, "the language model's answer does not fit its schema"
                ) from None
            repaired = True
            messages.append(
                UserMessage(
                    f"Your answer does not fit the schema: {problem}. "
                    "Answer again with JSON that fits it, and with nothing else."
                )
            )


def _json_of(answer: Answer) -> bytes:
    """The JSON text of an answer, out of the fence of Markdown that many models put around it.

    Raises:
        InvalidArgumentError: it is none.
    """
    fenced = _FENCED.fullmatch(answer.text)
    text = fenced[1] if fenced else answer.text
    return encode_json(parse_json(text.strip().encode(), ""))
