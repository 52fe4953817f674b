"""Runs blocks, each with a context of its own, between its ``block.…`` events."""

from __future__ import annotations

import time
from typing import TypeVar

from flowstate_server.engine.runs.block_context import BlockContext
from flowstate_server.engine.runs.run_parts import RunParts
from flowstate_server.flows.block import Block
from flowstate_server.model.clock import SECOND
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import JsonObject, encode_json

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

INTERNAL = frozenset((Audience.INTERNAL,))


class BlockExecutor:
    def __init__(self, parts: RunParts) -> None:
        self._parts = parts

    async def execute(self, block: Block[InputT, OutputT], value: InputT, path: tuple[str, ...]) -> OutputT:
        """Run a block below ``path``."""
        path = (*path, block.name)
        self._hold(EventType.BLOCK_STARTED, {"kind": block.kind}, path)
        started = time.monotonic()
        context = BlockContext(self._parts, self, block, path)
        try:
            output = await block.execute(block.validate_input(value), context)
        except Exception as error:
            failed: JsonObject = {"failure": {"reason": type(error).__name__, "message": "the block failed"}}
            self._hold(EventType.BLOCK_FAILED, failed, path, transient=False)
            raise
        self._hold(EventType.BLOCK_COMPLETED, {"elapsed": elapsed_since(started)}, path)
        return output

    def _hold(
        self, kind: EventType, payload: JsonObject, path: tuple[str, ...], *, transient: bool = True
    ) -> None:
        self._parts.recorder.hold(Event(kind, encode_json(payload), INTERNAL, transient, path))


def elapsed_since(started: float) -> int:
    """Microseconds since ``started``, a reading of ``time.monotonic``."""
    return round((time.monotonic() - started) * SECOND)
