"""Blocks: what a flow is made of. A block takes a value, works on state through its context, and gives a value."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.block_states import NO_STATES, BlockStates
from flowstate_server.flows.names import check_name
from flowstate_server.flows.reading import ReadingContext
from flowstate_server.flows.resources import AnyResource, check_resources
from flowstate_server.flows.value_type import ValueType
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.payloads import Payload
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.schema import ModelSchema

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741
I_contra = TypeVar("I_contra", contravariant=True)
O_co = TypeVar("O_co", covariant=True)

StateModels = Mapping[ScopeKind, type[BaseModel]]
NO_MODELS: StateModels = MappingProxyType({})
_PASS = re.compile(r"#[0-9]+$")
"""How a name ends in the path of a block's second pass and later ones: ``search#2``."""


class RunsBlocks(Protocol):
    """The part of a context that blocks are built on: it runs their children."""

    async def execute(self, block: Block[I, O], value: I, /) -> O: ...

    def next_name(self, name: str, /) -> str:
        """What the next execution of ``name`` is called under this one; from the second on it carries a number."""
        ...

    def execution(self, name: str, block: Block[I, O], value: I, /) -> Coroutine[Any, Any, O]:
        """The execution of a child that is called ``name``, to be awaited at once or made a task."""
        ...

    @property
    def ending(self) -> bool:
        """Whether the run is being stopped."""
        ...

    def rescued(self, failure: BaseException, /) -> None:
        """Forget a child's failure, which goes no further."""
        ...

    def tell(self, payload: Payload, /) -> None:
        """Append an event about this execution: for the trusted plane, and kept."""
        ...

    def claim_call_id(self, call_id: str, /) -> bool:
        """Have the id for a tool call, unless another call of the run has it."""
        ...

    @property
    def reading(self) -> ReadingContext:
        """This context, for functions that only decide."""
        ...


class Block(ABC, Generic[I_contra, O_co]):
    """A named piece of a flow that turns an ``I`` into an ``O``. Immutable: one block may serve many flows at once."""

    kind: ClassVar[str]
    """``"handler"``, ``"sequencer"``, ``"router"`` or ``"generator"``."""

    def __init__(
        self,
        name: str,
        *,
        input_type: Any,
        output_type: Any,
        state_models: StateModels = NO_MODELS,
        states: BlockStates = NO_STATES,
        resources: Iterable[AnyResource] = (),
    ) -> None:
        self.name = check_block_name(f"a {self.kind}'s name", name)
        self._input = ValueType(input_type, f'the input of {self.kind} "{name}"')
        self._output = ValueType(output_type, f'the output of {self.kind} "{name}"')
        self.state_models = state_models
        self.states = states
        self.resources = check_resources(resources, f'{self.kind} "{name}"')

    state_models: StateModels
    """The block's own models, for its typed view of each scope; a scope it declares nothing in is missing."""
    states: BlockStates
    """What the block declares of states that live as long as an execution."""

    @cached_property
    def state_schema(self) -> ModelSchema | None:
        """That of its own state.

        Raises:
            FlowDefinitionError: the model can't declare state.
        """
        own = self.states.own
        if own is None:
            return None
        return merge_declarations(ScopeKind.BLOCK, (Declaration(own, f'{self.kind} "{self.name}"'),))

    resources: tuple[AnyResource, ...]
    """Those that the block itself uses."""

    @property
    def declarations(self) -> Mapping[ScopeKind, tuple[Declaration, ...]]:
        """What the block itself declares in each scope, without its children."""
        return {
            kind: (Declaration(model, f'block "{self.name}"'),) for kind, model in self.state_models.items()
        }

    @property
    def children(self) -> tuple[Block[Any, Any], ...]:
        """The blocks that this one may execute."""
        return ()

    @property
    def executions(self) -> tuple[tuple[str, Block[Any, Any]], ...]:
        """The blocks that this one may execute, each with the name that it has in paths then."""
        return tuple((block.name, block) for block in self.children)

    @property
    def input_type(self) -> Any:
        """The annotation of what it takes."""
        return self._input.annotation

    @property
    def output_type(self) -> Any:
        """The annotation of what it gives."""
        return self._output.annotation

    def validate_input(self, value: object, path: str = "") -> Any:
        """``value`` as the block takes it: an instance of its input type passes as it is, pydantic makes the rest.

        Raises:
            ValidationFailedError: paths below ``path`` and rules, never the value.
        """
        return self._input.validate(value, path)

    def validate_input_json(self, text: bytes, path: str = "/input") -> Any:
        """The block's input from JSON text that obeys the profile, validated strictly: ``"5"`` is not an integer.

        Raises:
            ValidationFailedError: JSON Pointers below ``path`` and rules, never the value.
        """
        return self._input.validate_json(text, path)

    def input_schema(self) -> JsonObject:
        """The JSON Schema of its input. Don't modify it.

        Raises:
            FlowDefinitionError: it has none.
        """
        return self._input.json_schema("validation")

    def validate_output(self, value: object, path: str = "/output") -> Any:
        """``value`` as the block promises it.

        Raises:
            ValidationFailedError: it is not what the block promises.
        """
        return self._output.validate(value, path)

    def dump_output(self, value: object) -> Json:
        """The JSON form of an output.

        Raises:
            JsonInvalidError, JsonNumberError, JsonLimitError: it has none.
        """
        return self._output.dump(value, "/output")

    def check(self) -> None:
        """Refuse to be used if it can't be executed.

        Raises:
            FlowDefinitionError: saying why.
        """
        return

    @abstractmethod
    async def execute(self, value: I_contra, ctx: RunsBlocks, /) -> O_co:
        """Do the work on a validated ``value``. For the engine: it alone calls it, with the block's own context."""

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name}>"


def name_without_pass(name: str) -> str:
    """The name of an execution without the number of its pass."""
    return _PASS.sub("", name)


def check_block_name(what: str, name: object) -> str:
    """``name`` if it can be a part of a block's path.

    Raises:
        FlowDefinitionError: naming ``what`` and the rule.
    """
    checked = check_name(what, name)
    if _PASS.search(checked):
        raise FlowDefinitionError(f"{what} must not end with # and a number, as {name!r} does")
    return checked


def check_block(value: object, where: str) -> Block[Any, Any]:
    """``value`` if it is a block that can be executed.

    Raises:
        FlowDefinitionError: naming ``where`` and the reason.
    """
    if not isinstance(value, Block):
        if refusal := getattr(value, "why_not_a_block", None):
            raise FlowDefinitionError(f"{where} needs a block: {refusal}")
        raise FlowDefinitionError(f"{where} needs a block, not {_described(value)}")
    value.check()
    return value


def _described(value: object) -> str:
    if callable(value):
        return f"the function {getattr(value, '__name__', value)}: decorate it with @handler"
    return type(value).__name__
