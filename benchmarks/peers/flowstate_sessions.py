"""FlowState: a server in a process of its own, called by the Python client."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.floor import Floor
from benchmarks.peers.flow import KIND, Counted
from benchmarks.peers.peer import Peer, text
from benchmarks.subject import subject
from flowstate_client import FlowStateClient, NewItem

READS_ALL = "benchmarks.peers.flow:reads_all"
READS_NEWEST = "benchmarks.peers.flow:reads_newest"


@asynccontextmanager
async def open_peer(url: str, variant: str) -> AsyncIterator[Peer]:
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            peer = FlowState(url, Path(folder), stack)
            await peer.serve(READS_ALL)
            yield peer


class FlowState:
    _client: FlowStateClient
    _floor: Floor

    def __init__(self, url: str, folder: Path, stack: AsyncExitStack) -> None:
        self._url = url
        self._folder = folder
        self._stack = stack
        self._serving = ""
        self._restarting = asyncio.Lock()

    async def serve(self, app: str) -> None:
        """How far a flow looks back is its author's to say: the server is started anew with the other one."""
        async with self._restarting:
            if self._serving == app:
                return
            await self._stack.aclose()
            server = await self._stack.enter_async_context(subject(self._folder, self._url, app))
            connecting = FlowStateClient.connect(server.address, user="u1", plane="trusted")
            self._client = await self._stack.enter_async_context(connecting)
            self._floor = server.floor
            self._serving = app

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        await asyncio.gather(*(self._grow(session, turns) for session in sessions))

    async def _grow(self, session: str, turns: int) -> None:
        await self._client.sessions.create(KIND, session_id=session)
        await self._client.state.session(session).inc_state(count=turns)
        for _ in range(turns):
            said = [NewItem.message(role, text()) for role in ("user", "assistant")]
            await self._client.sessions.append_items(session, said)

    async def turn(self, session: str, newest: int | None) -> int:
        app = READS_ALL if newest is None else READS_NEWEST
        if self._serving != app:
            await self.serve(app)
        return await self._client.flows.call(KIND, "say", {"text": text()}, session_id=session, output=int)

    async def increment(self, session: str) -> int:
        await self._client.state.session(session).inc_state(count=1)
        return 0

    async def count(self, session: str) -> int:
        record = await self._client.state.session(session).get(model=Counted)
        return record.state.count

    async def cpu(self) -> float:
        return await self._floor.cpu()
