"""``side_chain`` and ``join``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowstate_server.flows.block import Block
from flowstate_server.flows.steps.step import Progress, Step


@dataclass(frozen=True, slots=True)
class SideChain(Step):
    block: Block[Any, Any]

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        return (self.block,)

    async def run(self, value: Any, progress: Progress, /) -> Any:
        progress.chains.start(self.block, value)
        return value


@dataclass(frozen=True, slots=True)
class Join(Step):
    timeout: float | None = None
    fail_on_error: bool = False

    async def run(self, value: Any, progress: Progress, /) -> Any:
        await progress.chains.join(self.timeout, fail_on_error=self.fail_on_error)
        return value
