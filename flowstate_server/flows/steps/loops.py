"""Loops: of one block, and back to an earlier step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowstate_server.flows.block import Block
from flowstate_server.flows.steps.step import Progress, Step, When, beyond_bound


@dataclass(frozen=True, slots=True)
class Loop(Step):
    """``block`` again and again, on its own output, while ``when`` is ``goes_on``."""

    block: Block[Any, Any]
    when: When[Any]
    goes_on: bool
    max_iterations: int

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        return (self.block,)

    async def run(self, value: Any, progress: Progress, /) -> Any:
        for _ in range(self.max_iterations):
            value = await progress.execute(self.block, value)
            if await progress.holds(self.when, value) is not self.goes_on:
                return value
        raise beyond_bound(self.max_iterations)


@dataclass(frozen=True, slots=True)
class LoopBack(Step):
    """From the step at ``index`` back to the one at ``to``, while ``when`` holds."""

    index: int
    to: int
    when: When[Any]
    max_iterations: int

    async def run(self, value: Any, progress: Progress, /) -> Any:
        went_back = progress.went_back
        if not await progress.holds(self.when, value):
            went_back.pop(self.index, None)
            return value
        times = went_back.get(self.index, 0)
        if times == self.max_iterations:
            raise beyond_bound(self.max_iterations)
        for inside in [index for index in went_back if self.to <= index < self.index]:
            del went_back[inside]
        went_back[self.index] = times + 1
        progress.next = self.to
        return value
