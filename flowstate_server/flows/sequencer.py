"""Sequencers: blocks that run other blocks one after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar, overload

from flowstate_server.errors import ActionError, FlowDefinitionError, ValidationFailedError
from flowstate_server.flows.block import Block, I_contra, O_co, RunsBlocks, check_block, check_block_name
from flowstate_server.flows.block_states import NO_STATES, BlockStates
from flowstate_server.flows.names import check_name
from flowstate_server.flows.rescued import Rescued
from flowstate_server.flows.steps.aside import Join, SideChain
from flowstate_server.flows.steps.branch import Branch
from flowstate_server.flows.steps.endings import ExitIf, ThrowIf
from flowstate_server.flows.steps.fitting import (
    check_function,
    check_match,
    check_most,
    check_pairs,
    check_takes,
    check_thrown,
    element_of,
    given_by,
    joined,
    quoted,
    taken_by,
    why_empty,
)
from flowstate_server.flows.steps.loops import Loop, LoopBack
from flowstate_server.flows.steps.map_value import MapValue
from flowstate_server.flows.steps.rescue import Match, Rescue
from flowstate_server.flows.steps.run_block import RunBlock
from flowstate_server.flows.steps.side_by_side import ForEach, Parallel
from flowstate_server.flows.steps.step import Progress, Step, When
from flowstate_server.flows.value_type import check_fits
from flowstate_server.programs.keeping import positive_seconds

I = TypeVar("I")  # noqa: E741
T = TypeVar("T")
U = TypeVar("U")


class Sequencer(Block[I_contra, O_co], Generic[I_contra, O_co]):
    """Steps in a row, each taking the value that the one before left. Itself a block, and immutable: every method makes
    a new one, so that a beginning can be shared. Made by :func:`sequencer`.

    ``when`` decides by the value and a :class:`ReadingContext`; it is sync or async, and runs on the event loop. A step
    is named after its block, or by ``name``; that is what ``loop_back`` goes back to.

    A failure of a step is the sequencer's, unless a ``rescue`` behind it matches. Cancelled, it cancels what it runs
    and waits for its end.

    Raises (all methods):
        FlowDefinitionError: the step can't run: it is no block, takes another type, or can't be told from another one.
    """

    kind = "sequencer"

    def __init__(
        self,
        name: str,
        *,
        input_type: Any,
        output_type: Any,
        steps: tuple[Step, ...] = (),
        entered: tuple[Any, ...] = (),
        giver: str = "the input",
        states: BlockStates = NO_STATES,
        resources: Iterable[Any] = (),
    ) -> None:
        """``entered`` has the type that the value has ahead of each step, ``giver`` names what gave the last one."""
        super().__init__(
            name, input_type=input_type, output_type=output_type, states=states, resources=resources
        )
        self.steps = steps
        self._entered = entered
        self._giver = giver

    @property
    def children(self) -> tuple[Block[Any, Any], ...]:
        return tuple(block for step in self.steps for block in step.blocks)

    @property
    def executions(self) -> tuple[tuple[str, Block[Any, Any]], ...]:
        return tuple(execution for step in self.steps for execution in step.executions)

    def step(self, block: Block[O_co, T], /, *, name: str | None = None) -> Sequencer[I_contra, T]:
        """Then run ``block`` on the current value; its output is the new one."""
        self._check(block)
        return self._then(RunBlock(block, name=self._named(name, block)), block.output_type, quoted(block))

    def step_if(
        self, when: When[O_co], block: Block[O_co, T], /, *, name: str | None = None
    ) -> Sequencer[I_contra, O_co | T]:
        """Run ``block`` if ``when`` holds; else the value passes."""
        self._check(block)
        self._check_function(when)
        step = RunBlock(block, when=when, name=self._named(name, block))
        return self._then(step, joined(self.output_type, block.output_type), quoted(block))

    def tap(self, block: Block[O_co, Any], /, *, name: str | None = None) -> Sequencer[I_contra, O_co]:
        """Then run ``block`` on the current value, drop its output and go on with the value."""
        self._check(block)
        return self._then(RunBlock(block, tap=True, name=self._named(name, block)))

    def tap_if(
        self, when: When[O_co], block: Block[O_co, Any], /, *, name: str | None = None
    ) -> Sequencer[I_contra, O_co]:
        """:meth:`tap` if ``when`` holds."""
        self._check(block)
        self._check_function(when)
        return self._then(RunBlock(block, tap=True, when=when, name=self._named(name, block)))

    @overload
    def map(
        self, function: Callable[[O_co], Awaitable[T]], /, *, name: str | None = None
    ) -> Sequencer[I_contra, T]: ...

    @overload
    def map(self, function: Callable[[O_co], T], /, *, name: str | None = None) -> Sequencer[I_contra, T]: ...

    def map(self, function: Callable[[O_co], Any], /, *, name: str | None = None) -> Sequencer[I_contra, Any]:
        """Go on with what a pure function makes of the value, sync or async; it runs on the event loop."""
        check_function(function, f"what map gets in {self._where}", "(value)")
        check_fits(self.output_type, taken_by(function), f"{self._where}, map,", self._giver)
        return self._then(MapValue(function, name=self._named(name)), given_by(function), "map")

    @overload
    def parallel(
        self,
        blocks: Mapping[str, Block[O_co, T]],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> Sequencer[I_contra, dict[str, T]]: ...

    @overload
    def parallel(
        self,
        blocks: Mapping[str, Block[O_co, Any]],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> Sequencer[I_contra, dict[str, Any]]: ...

    def parallel(
        self,
        blocks: Mapping[str, Block[O_co, Any]],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> Sequencer[I_contra, dict[str, Any]]:
        """Run all ``blocks`` on the value, side by side, ``max_concurrency`` at the same time; the new value is a dict
        of their outputs by name, in the order given.

        The first failure cancels the others and is the sequencer's.
        """
        if not isinstance(blocks, Mapping) or not blocks:
            raise FlowDefinitionError(f"{self._where} needs at least one block to run, as a dict by name")
        for key, block in blocks.items():
            check_block_name(f"a name in {self._where}", key)
            self._check(block)
        self._check_concurrency(max_concurrency)
        step = Parallel(tuple(blocks.items()), max_concurrency, name=self._named(name))
        return self._then(step, dict[str, Any], "parallel")

    def for_each(
        self: Sequencer[I, Iterable[T]],
        block: Block[T, U],
        /,
        *,
        max_concurrency: int | None = 1,
        name: str | None = None,
    ) -> Sequencer[I, list[U]]:
        """Run ``block`` on each element of the value, ``max_concurrency`` at the same time (``None``: all); the new
        value is the list of the outputs, in the order of the elements.

        The first failure cancels the others and is the sequencer's.
        """
        element = element_of(self.output_type, f"{self._where}, for_each,")
        self._check(block, element)
        self._check_concurrency(max_concurrency)
        step = ForEach(block, max_concurrency, name=self._named(name, block))
        output: Any = block.output_type
        return self._then(step, list[output], quoted(block))

    @overload
    def branch(
        self, *ways: tuple[When[O_co], Block[O_co, T]], name: str | None = None
    ) -> Sequencer[I_contra, O_co | T]: ...

    @overload
    def branch(
        self,
        *ways: tuple[When[O_co], Block[O_co, T]],
        otherwise: Block[O_co, T],
        name: str | None = None,
    ) -> Sequencer[I_contra, T]: ...

    def branch(
        self,
        *ways: tuple[When[O_co], Block[O_co, Any]],
        otherwise: Block[O_co, Any] | None = None,
        name: str | None = None,
    ) -> Sequencer[I_contra, Any]:
        """Run the block of the first of ``ways`` that holds, else ``otherwise``; without that the value passes."""
        check_pairs(ways, self._where, "(when, block)")
        for when, block in ways:
            self._check_function(when)
            self._check(block)
        if otherwise is not None:
            self._check(otherwise)
        last = self.output_type if otherwise is None else otherwise.output_type
        step = Branch(ways, otherwise, name=self._named(name))
        return self._then(step, joined(*(block.output_type for _, block in ways), last), "branch")

    def do_while(
        self: Sequencer[I, T],
        block: Block[T, T],
        when: When[T],
        /,
        *,
        max_iterations: int = 100,
        name: str | None = None,
    ) -> Sequencer[I, T]:
        """Run ``block``, and again on its own output while ``when`` holds for that.

        Were it to run more than ``max_iterations`` times, the sequencer fails with ``LOOP_BOUND_EXCEEDED``.
        """
        return self._loop(block, when, True, max_iterations, name)

    def do_until(
        self: Sequencer[I, T],
        block: Block[T, T],
        when: When[T],
        /,
        *,
        max_iterations: int = 100,
        name: str | None = None,
    ) -> Sequencer[I, T]:
        """:meth:`do_while`, until ``when`` holds."""
        return self._loop(block, when, False, max_iterations, name)

    def loop_back(
        self, to: str, when: When[O_co], /, *, max_iterations: int = 100
    ) -> Sequencer[I_contra, O_co]:
        """Go back to the step ``to`` of this sequencer while ``when`` holds, with the value.

        Were it to go back more than ``max_iterations`` times, the sequencer fails with ``LOOP_BOUND_EXCEEDED``. It
        counts anew where a loop around it goes back.
        """
        self._check_function(when)
        self._check_most(max_iterations)
        found = [index for index, step in enumerate(self.steps) if step.name == to]
        if len(found) != 1:
            problem = "no earlier step is" if not found else f"{len(found)} earlier steps are"
            raise FlowDefinitionError(f'{self._where} goes back to "{to}", but {problem} named so')
        target = f'{self._where}, loop_back, goes back to "{to}", which'
        check_fits(self.output_type, self._entered[found[0]], target, self._giver)
        return self._then(LoopBack(len(self.steps), found[0], when, max_iterations))

    def exit_if(self, when: When[O_co], /) -> Sequencer[I_contra, O_co]:
        """End here with the current value if ``when`` holds. It has to be of the type that the sequencer gives."""
        self._check_function(when)
        return self._then(ExitIf(when))

    def throw_if(
        self, when: When[O_co], error: ActionError | Callable[[O_co], ActionError], /
    ) -> Sequencer[I_contra, O_co]:
        """Fail with ``error`` if ``when`` holds: an ``ActionError``, or a function of the value that makes it."""
        self._check_function(when)
        check_thrown(error, f"{self._where}, throw_if,")
        return self._then(ThrowIf(when, error))

    def rescue(
        self, *arms: tuple[Match, Block[Rescued[Any], T]], name: str | None = None
    ) -> Sequencer[I_contra, O_co | T]:
        """For a failure of any step before this one: the block of the first arm that matches gets
        :class:`Rescued`, and its output is the value that the steps behind get. Without a failure the value passes.

        A match is an exception type or the code of an ``ActionError``. Cancellation, time-outs of the action and a lost
        lease are never rescued. A failed block is told of by ``block.failed`` all the same.
        """
        if not self.steps:
            raise FlowDefinitionError(f"{self._where} has nothing before it to rescue")
        check_pairs(arms, self._where, "(match, block)")
        for match, block in arms:
            check_match(match, f"{self._where}, rescue,")
            taken = check_block(block, self._where).input_type
            check_takes(Rescued, taken, f"{self._where}, {block.name},")
        outputs = (block.output_type for _, block in arms)
        step = Rescue(arms, name=self._named(name))
        return self._then(step, joined(self.output_type, *outputs), "rescue")

    def side_chain(self, block: Block[O_co, Any], /) -> Sequencer[I_contra, O_co]:
        """Start ``block`` on the current value and go on with the value. It is waited for at the next :meth:`join`,
        at the latest before the sequencer ends; it is cancelled if that fails or is cancelled.

        Its failure is told of by ``block.failed`` and goes no further, but see :meth:`join`.
        """
        self._check(block)
        return self._then(SideChain(block, name=block.name))

    def join(
        self, *, timeout: float | timedelta | None = None, fail_on_error: bool = False
    ) -> Sequencer[I_contra, O_co]:
        """Wait for the side chains started before; those that still run after ``timeout`` are cancelled.

        With ``fail_on_error`` it fails as the first of them did, in the order of their starts, or with
        ``TimeoutError``.
        """
        if not any(isinstance(step, SideChain) for step in self.steps):
            raise FlowDefinitionError(f"{self._where} has no side chain before it to join")
        seconds = positive_seconds(timeout, f"the timeout of {self._where}, join,")
        return self._then(Join(seconds, fail_on_error))

    def check(self) -> None:
        if not self.steps:
            raise FlowDefinitionError(why_empty(self.name))
        for number, (step, entered) in enumerate(zip(self.steps, self._entered, strict=True), 1):
            if isinstance(step, ExitIf):
                end = f'the end of sequencer "{self.name}"'
                check_fits(entered, self.output_type, end, f"step {number}, exit_if")

    async def execute(self, value: I_contra, ctx: RunsBlocks, /) -> O_co:
        output = await Progress(self.steps, ctx).go(value)
        try:
            result: O_co = self.validate_output(output)
        except ValidationFailedError as error:
            raise TypeError(f'sequencer "{self.name}" did not end with what it gives: {error}') from None
        return result

    def _loop(
        self, block: Block[Any, Any], when: When[Any], goes_on: bool, most: int, name: str | None
    ) -> Sequencer[Any, Any]:
        self._check(block)
        where = f"{self._where}, {block.name},"
        check_fits(block.output_type, block.input_type, where, "itself")
        self._check_function(when)
        self._check_most(most)
        step = Loop(block, when, goes_on, most, name=self._named(name, block))
        return self._then(step, block.output_type, quoted(block))

    @property
    def _where(self) -> str:
        return f'step {len(self.steps) + 1} of sequencer "{self.name}"'

    def _check(self, block: Block[Any, Any], given: Any = ...) -> None:
        where = self._where
        taken = check_block(block, where).input_type
        given = self.output_type if given is ... else given
        check_fits(given, taken, f"{where}, {block.name},", self._giver)

    def _check_function(self, when: When[Any]) -> None:
        check_function(when, f"when in {self._where}", "(value, context)")

    def _check_most(self, most: int) -> None:
        check_most(most, f"{self._where}: max_iterations")

    def _check_concurrency(self, most: int | None) -> None:
        if most is not None:
            check_most(most, f"{self._where}: max_concurrency, unless it is None,")

    def _then(self, step: Step, output_type: Any = ..., giver: str = "") -> Sequencer[I_contra, Any]:
        """The sequencer with ``step`` behind the others; what it is given passes if it gives nothing."""
        self._check_told_apart(step)
        return Sequencer(
            self.name,
            input_type=self.input_type,
            output_type=self.output_type if output_type is ... else output_type,
            steps=(*self.steps, step),
            entered=(*self._entered, self.output_type),
            giver=giver or self._giver,
            states=self.states,
            resources=self.resources,
        )

    def _check_told_apart(self, step: Step) -> None:
        """Names in paths stand for one block each, but those that a parallel gives."""
        known = {
            block.name: block for one in self.steps if not isinstance(one, Parallel) for block in one.blocks
        }
        for block in () if isinstance(step, Parallel) else step.blocks:
            if known.setdefault(block.name, block) is not block:
                problem = f'has another block than an earlier step under the name "{block.name}"'
                raise FlowDefinitionError(f"{self._where} {problem}: give one of them another name")

    def _named(self, name: str | None, block: Block[Any, Any] | None = None) -> str:
        if name is None:
            return "" if block is None else block.name
        check_name(f"the name of {self._where}", name)
        if any(step.name == name for step in self.steps):
            raise FlowDefinitionError(f'{self._where} is named "{name}", as an earlier step is')
        return name
