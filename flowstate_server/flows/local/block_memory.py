"""The state of one execution of a block: in memory, and gone with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from flowstate_server.errors import BlockStateUnavailableError, StateTooLargeError, VersionMismatchError
from flowstate_server.flows.block import Block
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import INTERNAL
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.payloads import StateChange
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind
from flowstate_server.programs.run_context import RunContext
from flowstate_server.programs.threads import STILL_SECONDS, DaemonThreads
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state.apply import apply, difference
from flowstate_server.state.operations import Operation
from flowstate_server.state.write import StateWrite

MAX_BYTES = 1024 * 1024
"""As much as the state of a scope may have by default."""

_threads = DaemonThreads("flowstate-block-states")


class BlockMemory:
    """Implements ``programs.run_context.ScopeAccess``.

    Writers queue, so that none is ever too late; only one that names a version may be.
    """

    def __init__(
        self,
        run: RunContext,
        block: Block[Any, Any],
        path: tuple[str, ...],
        schema: ModelSchema,
        drawn: JsonObject,
    ) -> None:
        """``drawn`` has the fields that begin with a value of their own."""
        self.schema = schema
        self.model = block.states.own
        self.record = _record(ScopeKey(ScopeKind.BLOCK, NO_TENANT, "/".join(path)), 0, drawn)
        self._run = run
        self._block = block
        self._path = path
        self._turn = asyncio.Lock()
        self._closed = False

    def close(self) -> None:
        """The execution has ended: it can be read, and not written any more."""
        self._closed = True

    async def write(
        self, operations: Sequence[Operation], path: tuple[str, ...], *, at: int | None = None
    ) -> StateWrite:
        async with self._turn:
            return await self._write(operations, path, at)

    async def refresh(self) -> StateRecord:
        return self.record

    async def swap(
        self, change: Callable[[StateRecord], Sequence[Operation]], path: tuple[str, ...]
    ) -> StateWrite:
        async with self._turn:
            return await self._write(change(self.record), path, None)

    async def _write(
        self, operations: Sequence[Operation], path: tuple[str, ...], at: int | None
    ) -> StateWrite:
        before = self.record
        if self._closed:
            problem = (
                f'{self._block.kind} "{self._block.name}" has ended, and its state can\'t be written any more'
            )
            raise BlockStateUnavailableError(problem)
        if at is not None and at != before.version:
            raise VersionMismatchError(ScopeKind.BLOCK, str(at), before.version)
        raw = apply(before.state, operations, self.schema)
        if self.schema.seen_by_code(raw.fields):  # of authors, which may take its time
            applied = await _threads.begin(partial(raw.checked, self.schema), still=STILL_SECONDS)
        else:
            applied = raw.checked(self.schema)
        told = difference(before.state, applied)
        if told.empty:
            return StateWrite(before.version, changed=False)
        after = _record(before.key, before.version + 1, applied.state)
        if len(after.text) > MAX_BYTES:
            raise StateTooLargeError(ScopeKind.BLOCK, len(after.text), MAX_BYTES)
        payload = StateChange(
            scope=ScopeKind.BLOCK,
            previous_version=before.version,
            version=after.version,
            changed=told.changed,
            removed=told.removed,
            stale=told.stale,
            owner_path=self._path,
        )
        event = Event(payload.type, payload.encode(), INTERNAL, transient=True, block_path=path)
        crowded = self._run.hold(event)
        self.record = after
        if crowded:
            await self._run.room()
        return StateWrite(after.version, changed=True)


def _record(key: ScopeKey, version: int, state: JsonObject) -> StateRecord:
    return state_record(
        key,
        version=version,
        incarnation="",
        state=state,
        text=encode_json(state),
        create_time=Micros(0),
        update_time=Micros(0),
    )
