"""Steps that end a sequencer before its last one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowstate_server.errors import ActionError
from flowstate_server.flows.steps.step import Progress, Step, When, answer_of


@dataclass(frozen=True, slots=True)
class ExitIf(Step):
    when: When[Any]

    async def run(self, value: Any, progress: Progress, /) -> Any:
        if await progress.holds(self.when, value):
            progress.exit()
        return value


@dataclass(frozen=True, slots=True)
class ThrowIf(Step):
    """``error`` is what to raise, or a function that makes it of the value."""

    when: When[Any]
    error: ActionError | Callable[[Any], Any]

    async def run(self, value: Any, progress: Progress, /) -> Any:
        if not await progress.holds(self.when, value):
            return value
        if isinstance(self.error, ActionError):
            raise copy.copy(self.error)  # each run has its own traceback
        error = await answer_of(self.error, value)
        if not isinstance(error, ActionError):
            raise TypeError(f"the error of throw_if must be an ActionError, not {type(error).__name__}")
        raise error
