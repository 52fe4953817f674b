"""A store that takes down what a run's recorder commits, and keeps nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flowstate_server.engine.runs.flush_pace import FlushPace
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import StoreUnavailableError
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import NO_TENANT
from flowstate_server.model.items import Audience
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import (
    AppendEvents,
    Batch,
    CommitResult,
    RequestCancel,
    RequireRun,
    Savepoint,
    WriteResult,
)
from flowstate_server.stores.memory import MemoryStore

REQUEST = RequestKey(NO_TENANT, "r")
PROCESS = "process"
GUARD = RequireRun(REQUEST, PROCESS)
WRITE = RequestCancel(REQUEST, "a write")
CLIENT = frozenset((Audience.CLIENT,))


class CommitLog(MemoryStore):
    """Each commit waits until it is let ``through``, as it is at first, and is then refused or taken down."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Semaphore(0)
        """Released by each attempt to commit."""
        self.times: list[float] = []
        """When each attempt was made."""
        self.attempts: list[Batch] = []
        self.committed: list[Batch] = []
        self.through = asyncio.Event()
        self.through.set()
        self.away = False
        """Every commit fails."""
        self.failures: list[Exception | None] = []
        """Raised one a commit; ``None`` lets one pass."""

    async def commit(self, batch: Batch) -> CommitResult:
        self.times.append(asyncio.get_running_loop().time())
        self.attempts.append(batch)
        self.asked.release()
        await asyncio.sleep(0)
        await self.through.wait()
        failure = self.failures.pop(0) if self.failures else None
        if self.away:
            raise StoreUnavailableError
        if failure is not None:
            raise failure
        self.committed.append(batch)
        return CommitResult(tuple(WriteResult() for _ in batch), Micros(1))

    @property
    def names(self) -> list[str]:
        """What was committed, batch after batch, as in :func:`names_of`, without savepoints."""
        return [name for names in names_of(self.committed) for name in names if name != "|"]


def names_of(batches: Sequence[Batch]) -> list[list[str]]:
    """What each batch holds: the payloads of its events, "|" for a savepoint, "write" for another write. No guard."""
    return [[name for write in batch for name in _names(write)] for batch in batches]


def _names(write: object) -> list[str]:
    if isinstance(write, RequireRun):
        return []
    if isinstance(write, AppendEvents):
        return [event.payload.decode() for event in write.events]
    return ["|"] if isinstance(write, Savepoint) else ["write"]


def recorder(log: CommitLog, settings: EngineSettings) -> Recorder:
    session = SessionKey(NO_TENANT, "s")
    return Recorder(log, REQUEST, session, PROCESS, settings, FlushPace(settings))


def event(name: str) -> Event:
    return Event(EventType.CUSTOM, name.encode(), CLIENT)
