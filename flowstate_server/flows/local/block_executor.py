"""Runs blocks, each with a context of its own, between its ``block.…`` events."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TypeVar

from flowstate_server.errors import RequestTerminalError
from flowstate_server.flows.block import Block
from flowstate_server.flows.local.begun_calls import check_awaited
from flowstate_server.flows.local.block_context import BlockContext
from flowstate_server.flows.local.local_run import LocalRun
from flowstate_server.flows.local.states_around import StatesAround
from flowstate_server.log_context import current_subject
from flowstate_server.model.clock import elapsed_since
from flowstate_server.model.events import Event
from flowstate_server.model.items import INTERNAL
from flowstate_server.model.payloads import BlockCompleted, BlockFailed, BlockStarted, Payload
from flowstate_server.model.records import Failure
from flowstate_server.programs.author_code import AT_WORK, EXITS, BlockWork, contained, does_work, told_by

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class BlockExecutor:
    def __init__(self, local: LocalRun) -> None:
        self._local = local

    @does_work
    async def execute(
        self,
        block: Block[InputT, OutputT],
        value: InputT,
        path: tuple[str, ...],
        parent: StatesAround | None = None,
    ) -> OutputT:
        """Run a block as the execution that ``path`` names. A failure is told once, by the block in which it arose.

        A call that the block forgot to await fails it. ``SystemExit`` and ``KeyboardInterrupt`` come out as
        RuntimeError.
        """
        crowded = self._hold(BlockStarted(block.kind), path)
        work = BlockWork(self._local.run, path, block.kind, current_subject())
        before = AT_WORK.get()
        AT_WORK.set(work)
        started = time.monotonic()
        states = StatesAround(block, path, parent)
        context = BlockContext(self._local, self, block, path, states)
        outcome = "cancelled"
        try:
            if crowded:
                await self._local.run.room()
            if block.states.own is not None:
                await states.open(self._local.run)
            output = await block.execute(block.validate_input(value), context)
            await check_awaited(context.begun, f'{block.kind} "{block.name}"')
            outcome = "completed"
        except asyncio.CancelledError:
            raise
        except GeneratorExit:  # of the author's, or nobody waits for this any more
            outcome = "failed"
            raise
        except BaseException as error:
            outcome = "failed"
            if not context.is_of_child(error):
                self._tell_failed(error, path)
            if isinstance(error, EXITS):
                raise contained(error) from error
            raise
        finally:
            AT_WORK.set(before)
            states.end(cancelled=outcome == "cancelled")
            self._local.run.observe_block(
                path, kind=block.kind, seconds=time.monotonic() - started, outcome=outcome
            )
        self._hold(BlockCompleted(elapsed_since(started)), path)
        return output

    def _tell_failed(self, error: BaseException, path: tuple[str, ...]) -> None:
        failure = Failure(type(told_by(error)).__name__, "the block failed")
        with suppress(RequestTerminalError):  # told already, or the run is over: the block's own error counts
            self._hold(BlockFailed(failure), path, transient=False)

    def _hold(self, payload: Payload, path: tuple[str, ...], *, transient: bool = True) -> bool:
        event = Event(payload.type, payload.encode(), INTERNAL, transient=transient, block_path=path)
        return self._local.run.hold(event)
