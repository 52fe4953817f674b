"""OpenAI Agents: its SQLite sessions, called as its runner calls them: the items are read, then those of the user and
those of the agent are added."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession

from benchmarks.peers.peer import Peer, text


@asynccontextmanager
async def open_peer(url: str, variant: str) -> AsyncIterator[Peer]:
    path = url.removeprefix("sqlite:///")
    if variant == "advanced":
        peer = OpenAIAgents(
            lambda session: AdvancedSQLiteSession(session_id=session, db_path=path, create_tables=True)
        )
    else:
        peer = OpenAIAgents(lambda session: SQLiteSession(session, path))
    try:
        yield peer
    finally:
        peer.close()


class OpenAIAgents:
    def __init__(self, make: Any) -> None:
        self._make = make
        self._sessions: dict[str, Any] = {}

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        for session in sessions:
            self._sessions[session] = self._make(session)
            said = [_message(role) for _ in range(turns) for role in ("user", "assistant")]
            await self._sessions[session].add_items(said)

    async def turn(self, session: str, newest: int | None) -> int:
        opened = self._sessions[session]
        read = await opened.get_items(newest)
        await opened.add_items([_message("user")])
        await opened.add_items([_message("assistant")])
        return len(read)

    async def increment(self, session: str) -> int:
        raise NotImplementedError("a session has items and nothing beside them")

    async def count(self, session: str) -> int:
        raise NotImplementedError("a session has items and nothing beside them")

    async def cpu(self) -> float:
        return 0.0

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()


def _message(role: str) -> Any:
    return {"role": role, "content": text()}
