"""Sequencers: blocks that run other blocks one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.block import Block, I_contra, O_co, RunsBlocks, check_block
from flowstate_server.flows.names import check_name
from flowstate_server.flows.value_type import check_fits

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Step:
    """A block in its place. A ``tap`` gets the current value and its output is dropped."""

    block: Block[Any, Any]
    tap: bool = False


class Sequencer(Block[I_contra, O_co], Generic[I_contra, O_co]):
    """Blocks in a row, each taking what the one before gave. Itself a block, and immutable: every method makes a new
    one, so that a beginning can be shared. Made by :func:`sequencer`.
    """

    kind = "sequencer"

    def __init__(self, name: str, *, input_type: Any, output_type: Any, steps: tuple[Step, ...] = ()) -> None:
        super().__init__(name, input_type=input_type, output_type=output_type)
        self.steps = steps

    @property
    def children(self) -> tuple[Block[Any, Any], ...]:
        return tuple(step.block for step in self.steps)

    def step(self, block: Block[O_co, T], /) -> Sequencer[I_contra, T]:
        """Then run ``block`` on the current value; its output is the new one.

        Raises:
            FlowDefinitionError: ``block`` is not a block, is an empty sequencer, or takes another type.
        """
        return self._with(block, tap=False)

    def tap(self, block: Block[O_co, Any], /) -> Sequencer[I_contra, O_co]:
        """Then run ``block`` on the current value, drop its output and go on with the value.

        Raises:
            FlowDefinitionError: ``block`` is not a block, is an empty sequencer, or takes another type.
        """
        return self._with(block, tap=True)

    def check(self) -> None:
        if not self.steps:
            raise FlowDefinitionError(_empty(self.name))

    async def execute(self, value: I_contra, ctx: RunsBlocks, /) -> O_co:
        current: Any = value
        for step in self.steps:
            output = await ctx.execute(step.block, current)
            if not step.tap:
                current = output
        result: O_co = current
        return result

    def _with(self, block: Block[Any, Any], *, tap: bool) -> Sequencer[I_contra, Any]:
        where = f'step {len(self.steps) + 1} of sequencer "{self.name}"'
        given_by = [f'"{step.block.name}"' for step in self.steps if not step.tap] or ["the input"]
        taken = check_block(block, where).input_type
        check_fits(self.output_type, taken, f"{where}, {block.name},", given_by[-1])
        output_type = self.output_type if tap else block.output_type
        steps = (*self.steps, Step(block, tap))
        return Sequencer(self.name, input_type=self.input_type, output_type=output_type, steps=steps)


class EmptySequencer:
    """A sequencer that has only a name yet. Not a block: it becomes one with its first step, which says the input."""

    def __init__(self, name: str) -> None:
        self.name = check_name("a sequencer's name", name)

    @property
    def why_not_a_block(self) -> str:
        return _empty(self.name)

    def step(self, block: Block[T, U], /) -> Sequencer[T, U]:
        """Begin with ``block``."""
        return self._begin(block).step(block)

    def tap(self, block: Block[T, Any], /) -> Sequencer[T, T]:
        """Begin with ``block`` and go on with what was put in."""
        return self._begin(block).tap(block)

    def _begin(self, block: Block[T, Any]) -> Sequencer[T, T]:
        input_type = check_block(block, f'step 1 of sequencer "{self.name}"').input_type
        return Sequencer(self.name, input_type=input_type, output_type=input_type)


@overload
def sequencer(name: str, /) -> EmptySequencer: ...


@overload
def sequencer(name: str, /, *, input: type[T]) -> Sequencer[T, T]: ...


def sequencer(name: str, /, *, input: Any = ...) -> EmptySequencer | Sequencer[Any, Any]:
    """Begin a sequencer: ``sequencer("say").tap(count).step(reply)``.

    The type of its input is that of its first block; say ``input`` where the first block takes a wider type than the
    next (``sequencer("say", input=Say).tap(log_anything).step(reply)``).

    Raises:
        FlowDefinitionError: the name is empty, too long or has control characters. An empty sequencer is refused
            where it is used.
    """
    if input is ...:
        return EmptySequencer(name)
    return Sequencer(name, input_type=input, output_type=input)


def _empty(name: str) -> str:
    return f'sequencer "{name}" is empty: give it a .step(...) or .tap(...)'
