"""``map``: a function of the value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowstate_server.flows.steps.step import Progress, Step, answer_of


@dataclass(frozen=True, slots=True)
class MapValue(Step):
    function: Callable[[Any], Any]

    async def run(self, value: Any, progress: Progress, /) -> Any:
        return await answer_of(self.function, value)
