"""Side chains: blocks that a sequencer starts and goes on."""

from __future__ import annotations

import asyncio
from typing import Any

from flowstate_server.flows.block import Block, RunsBlocks
from flowstate_server.flows.steps.tasks import Helpers
from flowstate_server.programs.author_code import ends_run


class SideChains:
    """Those of one execution of a sequencer. None outlives it."""

    __slots__ = ("_ctx", "_helpers")

    def __init__(self, ctx: RunsBlocks) -> None:
        self._ctx = ctx
        self._helpers: Helpers | None = None

    def start(self, block: Block[Any, Any], value: Any) -> None:
        if self._helpers is None:
            self._helpers = Helpers()
        self._helpers.begin(self._ctx.execution(self._ctx.next_name(block.name), block, value))

    async def join(self, timeout: float | None = None, *, fail_on_error: bool = False) -> None:
        """Wait for all that were started; those that are not done after ``timeout`` are cancelled.

        Raises:
            What the first of them failed by, in the order of their starts: with ``fail_on_error``, or where the run has
                to end.
            TimeoutError: with ``fail_on_error``: some were not done.
        """
        helpers = self._helpers
        if helpers is None:
            return
        _, late = await asyncio.wait(helpers.tasks, timeout=timeout)
        failures = helpers.failures()
        if late:
            await helpers.stop()
        self._helpers = None
        for failure in failures:
            if fail_on_error or ends_run(failure):
                try:
                    raise failure
                finally:
                    del failure, failures, helpers  # or its traceback holds the frame that holds it
            self._ctx.rescued(failure)
        if late and fail_on_error:
            chains = "1 side chain was" if len(late) == 1 else f"{len(late)} side chains were"
            raise TimeoutError(f"{chains} not done after {timeout:g} s")

    async def stop(self) -> None:
        """Cancel all that were started and wait for their end."""
        if self._helpers is not None:
            await self._helpers.stop()

    def abandon(self) -> None:
        """Cancel all that were started: nobody can wait any more."""
        if self._helpers is not None:
            self._helpers.cancel()
