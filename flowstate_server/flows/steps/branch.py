"""``branch``: one of several blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowstate_server.flows.block import Block
from flowstate_server.flows.steps.step import Progress, Step, When


@dataclass(frozen=True, slots=True)
class Branch(Step):
    ways: tuple[tuple[When[Any], Block[Any, Any]], ...]
    otherwise: Block[Any, Any] | None = None

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        last = () if self.otherwise is None else (self.otherwise,)
        return (*(block for _, block in self.ways), *last)

    async def run(self, value: Any, progress: Progress, /) -> Any:
        for when, block in self.ways:
            if await progress.holds(when, value):
                return await progress.execute(block, value)
        return value if self.otherwise is None else await progress.execute(self.otherwise, value)
