"""Actions: what clients can call in a flow."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.block import Block, check_block
from flowstate_server.flows.concurrency import ConcurrencyPolicy, allow
from flowstate_server.flows.names import check_name
from flowstate_server.flows.value_type import ValueType, check_fits, is_none
from flowstate_server.model.clock import Seconds
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.programs.named_arguments import by_name

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)
_OF_THE_BLOCK: Any = object()
ALLOW = allow()


class Action(Generic[I_contra, O_co]):
    """A block that clients can call by name. Made by :func:`action`; ``define_flow`` gives it its ``name``.

    ``timeout`` is in seconds, ``None`` for no limit.
    """

    def __init__(
        self,
        block: Block[I_contra, O_co],
        *,
        input_type: Any,
        output_type: Any,
        timeout: Seconds | None = None,
        description: str = "",
        name: str = "",
        concurrency: ConcurrencyPolicy[Any] = ALLOW,
    ) -> None:
        self.name = name
        self.block = block
        self.input_type = input_type
        self.output_type = output_type
        self.timeout = timeout
        self.description = description
        self.concurrency = concurrency
        named = f'action "{name}"' if name else f'the action of block "{block.name}"'
        self._input = ValueType(input_type, f"the input of {named}")
        self._output = ValueType(output_type, f"the output of {named}")

    def named(self, name: str) -> Action[I_contra, O_co]:
        """The same action under ``name``."""
        return Action(
            self.block,
            input_type=self.input_type,
            output_type=self.output_type,
            timeout=self.timeout,
            description=self.description,
            name=check_name("an action's name", name),
            concurrency=self.concurrency,
        )

    @property
    def input_calls_code(self) -> bool:
        """Whether code of the author takes part in validating the input."""
        return self._input.calls_code

    def validate_input_json(self, text: bytes, path: str = "/input") -> Any:
        """The input from JSON text that obeys the profile, validated strictly: ``"5"`` is not an integer.

        An action without input takes ``{}``, which is what a call that gives none sends, as well as ``null``.

        Raises:
            ValidationFailedError: JSON Pointers below ``path`` and rules, never the value.
        """
        if is_none(self.input_type) and _is_empty_object(text):
            return None
        return self._input.validate_json(text, path)

    def validate_input(self, value: object, path: str = "/input") -> Any:
        """The input from a Python value: an instance of the input type passes, pydantic makes the rest.

        Raises:
            ValidationFailedError: paths below ``path`` and rules, never the value.
        """
        return self._input.validate(value, path)

    def dump_output(self, value: object) -> Json:
        """The JSON form of what the block gave.

        Raises:
            ValidationFailedError: it is not of the output type.
            JsonInvalidError, JsonNumberError, JsonLimitError: it has no JSON form.
        """
        return self._output.dump(self._output.validate(value, "/output"), "/output")

    def input_schema(self) -> JsonObject:
        """The JSON Schema of the input."""
        return self._input.json_schema("validation")

    def output_schema(self) -> JsonObject:
        """The JSON Schema of the output."""
        return self._output.json_schema("serialization")

    def __repr__(self) -> str:
        return f"<action {self.name or '(unnamed)'}>"


def _without_name(given: object, *_: object) -> FlowDefinitionError:
    name = getattr(given, "name", None) or getattr(given, "__name__", "...")
    decorated = "" if isinstance(given, Block) else ", of a function under @handler"
    return FlowDefinitionError(f"an action takes its block by name: write action(block={name}){decorated}")


@overload
def action(
    *,
    input: type[I],
    block: Block[I, O],
    output: type[O] | None = None,
    timeout: float | timedelta | None = None,
    description: str = "",
    concurrency: ConcurrencyPolicy[I] = ...,
) -> Action[I, O]: ...


@overload
def action(
    *,
    block: Block[I, O],
    output: type[O] | None = None,
    timeout: float | timedelta | None = None,
    description: str = "",
    concurrency: ConcurrencyPolicy[I] = ...,
) -> Action[I, O]: ...


@by_name(_without_name)
def action(
    *,
    input: Any = _OF_THE_BLOCK,
    block: Block[Any, Any],
    output: Any = None,
    timeout: float | timedelta | None = None,
    description: str = "",
    concurrency: ConcurrencyPolicy[Any] = ALLOW,
) -> Action[Any, Any]:
    """Let clients call ``block``.

    A call that gives no input sends ``{}``. So an action may do without: its block takes ``None``
    (``async def reset(_: None, ctx: Context)``), or a model whose fields all have defaults.

    Args:
        input: the type that JSON inputs are validated against, strictly; by default that of the block.
        block: a handler or sequencer that takes such a value.
        output: the type that the output is written as; by default that of the block.
        timeout: seconds (or a ``timedelta``) that a run may take; then it fails with ``ACTION_TIMEOUT``.
        description: for people and models that choose among actions.
        concurrency: what becomes of a call while another request runs: :func:`queue`, :func:`reject` or
            :func:`interrupt`; by default any number run.

    Raises:
        FlowDefinitionError: ``block`` is no block, is empty or can't take the input; a type has no JSON form; the
            timeout is not positive; the concurrency is no policy.
    """
    checked = check_block(block, "an action")
    input_type = checked.input_type if input is _OF_THE_BLOCK else input
    check_fits(input_type, checked.input_type, f'block "{checked.name}"', "the action")
    if not isinstance(concurrency, ConcurrencyPolicy):
        raise FlowDefinitionError(
            "an action's concurrency must be queue(...), reject(...), interrupt(...) or allow()"
        )
    made: Action[Any, Any] = Action(
        checked,
        input_type=input_type,
        output_type=checked.output_type if output is None else output,
        timeout=_seconds(timeout),
        description=description,
        concurrency=concurrency,
    )
    made.input_schema()
    made.output_schema()
    return made


def _is_empty_object(text: bytes) -> bool:
    return b"".join(text.split()) == b"{}"


def _seconds(timeout: float | timedelta | None) -> Seconds | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise FlowDefinitionError("an action's timeout must be a positive number of seconds or a timedelta")
    return Seconds(float(seconds))
