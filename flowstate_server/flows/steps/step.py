"""What the steps of sequencers have in common."""

from __future__ import annotations

import inspect
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flowstate_server.errors import ActionError
from flowstate_server.flows.block import Block, RunsBlocks
from flowstate_server.flows.reading import ReadingContext
from flowstate_server.flows.rescued import Rescued, failure_in, may_be_rescued
from flowstate_server.flows.steps.side_chains import SideChains
from flowstate_server.flows.steps.tasks import being_stopped
from flowstate_server.programs.author_code import EXITS, contained

V = TypeVar("V")
T = TypeVar("T")

AnyReading = ReadingContext[Any, Any, Any, Any]
When = Callable[[V, AnyReading], bool | Awaitable[bool]]
"""Decides by a value and what there is to read, sync or async.

It runs on the event loop, as async handlers do, and must not block it: what takes time belongs into a handler. A thread
for each would cost more than what such functions do. What it raises fails the sequencer or router that asks it.
"""

LOOP_BOUND_EXCEEDED = "LOOP_BOUND_EXCEEDED"


class Progress:
    """Where one execution of a sequencer is, and what its steps do their work by.

    ``next`` is the index of the step that comes next, ``went_back`` counts for each ``loop_back`` by its index.
    """

    __slots__ = ("_steps", "chains", "ctx", "next", "went_back")

    def __init__(self, steps: Sequence[Step], ctx: RunsBlocks) -> None:
        self._steps = steps
        self.ctx = ctx
        self.next = 0
        self.went_back: dict[int, int] = {}
        self.chains = SideChains(ctx)

    async def go(self, value: Any) -> Any:
        """What the steps make of ``value``. Whatever ends it, none of what they started goes on."""
        try:
            value = await self._go(value)
            await self.chains.join()
        except GeneratorExit:  # nobody waits for this any more
            self.chains.abandon()
            raise
        except BaseException:
            await self.chains.stop()
            raise
        return value

    async def _go(self, value: Any) -> Any:
        steps = self._steps
        failure: Exception | None = None
        while self.next < len(steps):
            step = steps[self.next]
            self.next += 1
            try:
                if failure is None:
                    value = await step.run(value, self)
                elif (block := step.rescue_for(failure)) is not None:
                    self.ctx.rescued(failure)
                    rescued, failure = Rescued(failure_in(failure), value), None
                    value = await self.execute(block, rescued)
            except Exception as error:
                # Blocks may make another error of their cancellation.
                if not may_be_rescued(error) or self.ctx.ending or being_stopped():
                    raise
                failure = error
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # or its traceback holds the frame that holds it
        return value

    def exit(self) -> None:
        """Let no step come next."""
        self.next = sys.maxsize

    async def execute(self, block: Block[Any, T], value: Any) -> T:
        return await self.ctx.execution(self.ctx.next_name(block.name), block, value)

    async def holds(self, when: When[Any], value: Any) -> bool:
        return bool(await answer_of(when, value, self.ctx.reading))


@dataclass(frozen=True, slots=True)
class Step(ABC):
    """A step of a sequencer, immutable.

    ``name`` is what a ``loop_back`` may go back to: it is given, or that of the step's block.
    """

    name: str = field(default="", kw_only=True)

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        """The blocks that it may execute, under their own names."""
        return ()

    @property
    def executions(self) -> tuple[tuple[str, Block[Any, Any]], ...]:
        """The blocks that it may execute, each with the name that it has in paths."""
        return tuple((block.name, block) for block in self.blocks)

    def rescue_for(self, error: Exception, /) -> Block[Any, Any] | None:
        """The block that goes on after a failure of the steps before it."""
        return None

    @abstractmethod
    async def run(self, value: Any, progress: Progress, /) -> Any:
        """What becomes of ``value`` here. Cancelled, it leaves nothing running but side chains."""


async def answer_of(function: Callable[..., Any], /, *arguments: Any) -> Any:
    """What an author's function gives, sync or async."""
    try:
        answer = function(*arguments)
        return await answer if inspect.isawaitable(answer) else answer
    except EXITS as error:
        raise contained(error) from error


def beyond_bound(most: int) -> ActionError:
    return ActionError(LOOP_BOUND_EXCEEDED, f"a loop went over its bound of {most}")
