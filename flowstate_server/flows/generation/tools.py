"""Blocks as the tools of a model."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from flowstate_server.errors import (
    ActionError,
    FlowDefinitionError,
    FlowStateError,
    InvalidArgumentError,
    MessageTooLargeError,
    ValidationFailedError,
)
from flowstate_server.flows.block import Block, RunsBlocks, check_block
from flowstate_server.flows.generation.answer_items import storable
from flowstate_server.flows.generation.conversation import as_text, tool_name
from flowstate_server.flows.generation.prompt import AnyContext
from flowstate_server.flows.generation.schemas import INPUT, object_schema, wrapped_schema
from flowstate_server.flows.steps.tasks import being_stopped, run_all
from flowstate_server.flows.value_type import is_none
from flowstate_server.language_models import ToolCall, ToolResult, ToolSpec
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.programs.author_code import ends_run, readable, told_by
from flowstate_server.state.json_profile import parse_json

_logger = logging.getLogger(__name__)

MOST_AT_ONCE = 4
_MOST_VIOLATIONS = 10
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tool:
    """A block that a model may call. ``wrapped``: it takes no object, so that the model gives it as a member of one."""

    block: Block[Any, Any]
    spec: ToolSpec
    wrapped: bool

    def read(self, arguments: str) -> Any:
        """The block's input.

        Raises:
            InvalidArgumentError: the arguments are no JSON, or do not fit; never with a value in it.
        """
        value = parsed(arguments)
        if is_none(self.block.input_type):
            return None
        if not self.wrapped:
            return self.block.validate_input_json(encode_json(value), "")
        inner = value.get(INPUT) if isinstance(value, dict) else value  # some forget the object around it
        return self.block.validate_input_json(encode_json(inner), f"/{INPUT}")


def parsed(arguments: str) -> Json:
    """
    Raises:
        InvalidArgumentError: it is no JSON, or none that can be kept.
    """
    return parse_json(storable(arguments).strip().encode() or b"{}", "")


def tools_of(blocks: Iterable[object], where: str) -> Mapping[str, Tool]:
    """The tools by their names, for ``where``.

    Raises:
        FlowDefinitionError: one is no block, has a name that providers refuse or that another has, or a type that has
            no JSON Schema.
    """
    tools: dict[str, Tool] = {}
    for given in blocks:
        block = check_block(given, f"{where} has a tool, which")
        if not _NAME.fullmatch(block.name):
            raise FlowDefinitionError(
                f'tool "{block.name}" of {where} needs a name of 1 to 64 letters, digits, _ and - '
                "(@handler(name=...)): providers take no others"
            )
        if block.name in tools:
            raise FlowDefinitionError(f'{where} has two tools of the name "{block.name}"')
        tools[block.name] = _tool(block)
    return tools


def _tool(block: Block[Any, Any]) -> Tool:
    schema = block.input_schema()
    whole = object_schema(schema)
    spec = ToolSpec(block.name, _description(block), wrapped_schema(schema) if whole is None else whole)
    return Tool(block, spec, wrapped=whole is None)


def _description(block: Block[Any, Any]) -> str:
    """What the block says of itself: ``description``, or a function's docstring."""
    described = getattr(block, "description", "") or vars(block).get("__doc__")
    return inspect.cleandoc(described) if isinstance(described, str) else ""


class ToolCalls:
    """Runs the calls of one execution's model. ``what`` names that in the log."""

    def __init__(
        self,
        tools: Mapping[str, Tool],
        context: AnyContext,
        runs: RunsBlocks,
        audiences: frozenset[Audience],
        what: str,
    ) -> None:
        """``context`` and ``runs`` are one thing, as authors and as blocks see it."""
        self._tools = tools
        self._context = context
        self._runs = runs
        self._audiences = audiences
        self._what = what

    async def run(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """What comes of the calls of one answer, in their order. Each becomes an item, and its output another.

        What is wrong with a call, and how a tool fails, is told to the model in words of ours, those of an
        ``ActionError`` excepted. What ends the run comes out, and cancels the calls beside it.
        """
        shown = [await self._show(call) for call in calls]
        pairs = zip(calls, shown, strict=True)
        return await run_all([partial(self._result, call, *item) for call, item in pairs], MOST_AT_ONCE)

    async def _show(self, call: ToolCall) -> tuple[str, bool]:
        """Add the call's item; its id is the model's own, unless that names no call or another one of the run, such as
        one of a generator beside this. Whether the call is small enough to be an item, without which nobody could tell
        what was asked for."""
        call_id = storable(call.call_id)
        if not self._runs.claim_call_id(call_id):
            call_id = ""
        try:
            arguments = parsed(call.arguments)
        except InvalidArgumentError:
            arguments = storable(call.arguments)
        name, fits = tool_name(call.name), True
        try:
            item = await self._context.tool_call(name, arguments, call_id=call_id, audiences=self._audiences)
        except MessageTooLargeError:
            fits = False
            item = await self._context.tool_call(name, None, audiences=self._audiences)
        return item.call_id, fits

    async def _result(self, call: ToolCall, item_id: str, fits: bool) -> ToolResult:
        name = tool_name(call.name)
        output, failed = await self._output(call) if fits else (_failure("the call is too large"), True)
        try:
            await self._context.tool_output(item_id, output, name=name, audiences=self._audiences)
        except MessageTooLargeError:
            output, failed = _failure("what the tool gave is too large"), True
            await self._context.tool_output(item_id, output, name=name, audiences=self._audiences)
        return ToolResult(call.call_id, call.name, as_text(output), failed)

    async def _output(self, call: ToolCall) -> tuple[Json, bool]:
        """What the model gets, and whether that is a failure."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return _failure(f"there is no such tool; there are: {known}"), True
        try:
            try:
                value = tool.read(call.arguments)
            except InvalidArgumentError as error:
                return _failure(f"the arguments do not fit: {problems(error)}"), True
            return tool.block.dump_output(await self._context.execute(tool.block, value)), False
        except Exception as raised:
            if ends_run(raised) or self._runs.ending or being_stopped():
                raise
            self._runs.rescued(raised)
            told = told_by(raised)
            if isinstance(told, ActionError):
                return _failure(storable(str(told.message))), True
            _logger.error('%s: tool "%s" failed', self._what, call.name, exc_info=readable(raised))
            return _failure("the tool failed"), True


def problems(error: FlowStateError) -> str:
    """What is wrong with what a model wrote, for the model: places and rules."""
    if not isinstance(error, ValidationFailedError):
        return str(error)
    shown = [f"{one.path or '/'}: {one.message}" for one in error.violations[:_MOST_VIOLATIONS]]
    return "; ".join(shown)


def _failure(text: str) -> Json:
    return {"error": text}
