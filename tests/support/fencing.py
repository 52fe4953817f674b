"""Servers that share a database, each with a run that waits, to fence one another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.engine.calls.runs import ActionCall
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.model.clock import Seconds
from flowstate_server.model.events import EventType
from flowstate_server.model.identity import NO_TENANT, Principal
from flowstate_server.model.records import RequestRecord
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.sqlite import SqliteStore
from flowstate_server.testing.waiting import PATIENCE, soon, until
from tests.support.held_commits import HeldRenewals

SHORT = EngineSettings(lease=Seconds(0.3), cancel_grace=Seconds(0.5))
LONG = EngineSettings(lease=Seconds(60.0), cancel_grace=Seconds(0.5))
ADA = Principal(tenant=NO_TENANT, user="ada")


class Counted(BaseModel):
    count: int = 0


@dataclass
class Block:
    """What the one run that waits has seen, and when it goes on."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Server:
    engine: Engine
    store: SqliteStore
    block: Block

    @property
    def process(self) -> str:
        return self.engine.instance_id

    async def dispatch(self, request_id: str, action: str = "wait", session_id: str = "s") -> None:
        call = ActionCall("held", action, session_id=session_id, request_id=request_id)
        await self.engine.dispatcher.dispatch(ADA, call)

    async def begin(self, request_id: str) -> None:
        """Dispatch a run that waits, and wait until it does."""
        await self.dispatch(request_id)
        await soon(self.block.begun.wait())

    async def ended(self, request_id: str) -> RequestRecord:
        waited = await self.engine.requests.wait(ADA, request_id, Seconds(PATIENCE))
        assert waited.done
        return waited.request

    async def event_types(self, request_id: str) -> list[EventType]:
        page = await self.store.read_events(
            RequestKey(NO_TENANT, request_id), after=0, limit=500, max_bytes=10**9
        )
        assert page is not None
        return [record.event.type for record in page.events]


@asynccontextmanager
async def server(path: Path, settings: EngineSettings = LONG) -> AsyncIterator[Server]:
    """One server process's engine; it does not sweep by itself."""
    block = Block()

    @handler(session_state=Counted)
    async def wait(value: dict[str, int] | None, ctx: Context[Counted]) -> str:
        block.begun.set()
        try:
            await block.go.wait()
        except asyncio.CancelledError:
            block.cancelled.set()
            raise
        await ctx.session.inc_state(count=1)
        return "done"

    @handler
    async def answer(value: dict[str, int] | None, ctx: Context) -> str:
        return "answered"

    flow = define_flow("held", actions={"wait": action(block=wait), "answer": action(block=answer)})
    store = SqliteStore(path)
    engine = create_flowstate(flows=[flow]).engine(store, settings)
    await engine.open()
    await engine.sweeper.close()
    try:
        yield Server(engine, store, block)
    finally:
        await engine.close()


@asynccontextmanager
async def silent_server(path: Path) -> AsyncIterator[tuple[Server, HeldRenewals]]:
    """A server whose lease has expired; its renewal is on its way and held."""
    async with server(path, SHORT) as silent:
        renewal = HeldRenewals(silent.store)
        try:
            await soon(renewal.reached.wait())
            await until(lambda: _expired(silent))
            yield silent, renewal
        finally:
            renewal.go()


async def end_orphans(other: Server) -> None:
    """As a server does that has looked on for a lease."""
    await other.engine.sweeper.end_orphans()
    await asyncio.sleep(SHORT.lease + 0.05)  # in which nothing may happen
    await other.engine.sweeper.end_orphans()


async def _expired(silent: Server) -> bool:
    rows = {row.process: row for row in await silent.store.read_processes()}
    return rows[silent.process].expire_time < await silent.store.time()
