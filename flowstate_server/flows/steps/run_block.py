"""Steps that run one block: ``step``, ``tap`` and their conditional forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowstate_server.flows.block import Block
from flowstate_server.flows.steps.step import Progress, Step, When


@dataclass(frozen=True, slots=True)
class RunBlock(Step):
    """``block`` in its place, if ``when`` holds. A ``tap`` gets the current value and its output is dropped."""

    block: Block[Any, Any]
    tap: bool = False
    when: When[Any] | None = None

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        return (self.block,)

    async def run(self, value: Any, progress: Progress, /) -> Any:
        if self.when is not None and not await progress.holds(self.when, value):
            return value
        output = await progress.execute(self.block, value)
        return value if self.tap else output
