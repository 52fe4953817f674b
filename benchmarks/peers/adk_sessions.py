"""ADK: its session service on a database, called as its runner calls it: the session is loaded, then each event is
appended."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any

from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.events import Event, EventActions
from google.adk.sessions import DatabaseSessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.schemas.v1 import StorageEvent
from google.genai.types import Content, Part
from sqlalchemy import insert

from benchmarks.peers.peer import Peer, text

APP = "bench"
USER = "u1"


@asynccontextmanager
async def open_peer(url: str, variant: str) -> AsyncIterator[Peer]:
    if url.startswith("sqlite"):
        # With SQLite's default journal the service is slower, and 32 sessions at once meet "database is locked".
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            database.execute("PRAGMA journal_mode = WAL")
    driver = "sqlite+aiosqlite" if url.startswith("sqlite") else "postgresql+asyncpg"
    async with DatabaseSessionService(f"{driver}:{url.partition(':')[2]}") as service:
        await service.prepare_tables()
        yield Adk(service)


class Adk:
    def __init__(self, service: Any) -> None:
        self._service = service

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        """The rows that ``append_event`` writes, many at a time: it takes one event a transaction."""
        columns = [column.key for column in StorageEvent.__table__.columns]
        for session in sessions:
            made = await self._service.create_session(
                app_name=APP, user_id=USER, session_id=session, state={"count": turns}
            )
            events = [
                event for _ in range(turns) for event in (_user_event(), _agent_event({"count": turns}))
            ]
            rows = [StorageEvent.from_event(made, event) for event in events]
            values = [{column: getattr(row, column) for column in columns} for row in rows]
            if values:
                async with self._service.db_engine.begin() as connection:
                    await connection.execute(insert(StorageEvent), values)

    async def turn(self, session: str, newest: int | None) -> int:
        config = None if newest is None else GetSessionConfig(num_recent_events=newest)
        loaded = await self._loaded(session, config)
        read = len(loaded.events)
        await self._service.append_event(loaded, _user_event())
        await self._service.append_event(loaded, _agent_event({"count": loaded.state["count"] + 1}))
        return read

    async def increment(self, session: str) -> int:
        """A handle that is stale is refused with the advice to load the session anew, which is followed."""
        refused = 0
        while True:
            loaded = await self._loaded(session, None)
            try:
                event = Event(
                    author="agent", actions=EventActions(state_delta={"count": loaded.state["count"] + 1})
                )
                await self._service.append_event(loaded, event)
            except StaleSessionError:
                refused += 1
                await asyncio.sleep(random.random())
            else:
                return refused

    async def count(self, session: str) -> int:
        return int((await self._loaded(session, None)).state["count"])

    async def cpu(self) -> float:
        return 0.0

    async def _loaded(self, session: str, config: Any) -> Any:
        return await self._service.get_session(app_name=APP, user_id=USER, session_id=session, config=config)


def _user_event() -> Any:
    return Event(author="user", content=Content(role="user", parts=[Part(text=text())]))


def _agent_event(state_delta: dict[str, int]) -> Any:
    content = Content(role="model", parts=[Part(text=text())])
    return Event(author="agent", content=content, actions=EventActions(state_delta=state_delta))
