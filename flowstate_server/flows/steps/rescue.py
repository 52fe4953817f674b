"""``rescue``: a block in place of a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowstate_server.errors import ActionError
from flowstate_server.flows.block import Block
from flowstate_server.flows.rescued import failure_in
from flowstate_server.flows.steps.step import Progress, Step

Match = type[Exception] | str
"""An exception type, or the code of an ``ActionError``."""


@dataclass(frozen=True, slots=True)
class Rescue(Step):
    arms: tuple[tuple[Match, Block[Any, Any]], ...]

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        return tuple(block for _, block in self.arms)

    async def run(self, value: Any, progress: Progress, /) -> Any:
        return value

    def rescue_for(self, error: Exception, /) -> Block[Any, Any] | None:
        told = failure_in(error)
        return next((block for match, block in self.arms if _matches(match, told)), None)


def _matches(match: Match, error: Exception) -> bool:
    if isinstance(match, str):
        return isinstance(error, ActionError) and error.code == match
    return isinstance(error, match)
