"""A contestant that runs: its worker's process, and its database."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from benchmarks.peers.comparison import Stored
from benchmarks.peers.contestants import Contestant
from tests.support.postgres_server import fetch

CHECKOUT = Path(__file__).parents[2]
START_SECONDS = 60.0
ANSWER_LIMIT = 64 * 1024 * 1024

_STORED_BY_POSTGRES = "SELECT relid::regclass::text, pg_total_relation_size(relid) FROM pg_stat_user_tables"


class TookTooLong(Exception):
    """A worker has not answered in time, and is gone."""


class Running:
    def __init__(
        self, contestant: Contestant, url: str, log: Path, process: asyncio.subprocess.Process, seconds: float
    ) -> None:
        self.contestant = contestant
        self.url = url
        self._log = log
        self._process = process
        self._seconds = seconds

    async def ask(self, method: str, **arguments: object) -> Any:
        """What the worker answers.

        Raises:
            TookTooLong: nothing for too long.
            RuntimeError: it has ended; with what it said.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"method": method, **arguments}).encode() + b"\n")
        try:
            async with asyncio.timeout(self._seconds):
                return await self.answer()
        except TimeoutError:
            self._process.terminate()
            raise TookTooLong from None

    async def answer(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            said = self._log.read_text(errors="replace")[-4000:]
            raise RuntimeError(f"{self.contestant.label} has ended:\n{said}")
        return json.loads(line)

    async def stored(self) -> Stored:
        """Bytes of its database, indexes included."""
        if self.contestant.postgres:
            return Stored({table: int(size) for table, size in await fetch(self.url, _STORED_BY_POSTGRES)})
        with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as database:
            pages, free, page = (
                int(database.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return Stored({"": (pages - free) * page})


@asynccontextmanager
async def running(
    contestant: Contestant, url: str, python: str, folder: Path, seconds: float
) -> AsyncIterator[Running]:
    """A worker on the database of ``url``, which several may share; each answer may take ``seconds``."""
    log = folder / "worker.log"
    with log.open("ab") as written:
        process = await asyncio.create_subprocess_exec(
            *(python, "-m", "benchmarks.peers.worker", contestant.module, contestant.variant, url),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=written,
            cwd=CHECKOUT,
            limit=ANSWER_LIMIT,
        )
    started = Running(contestant, url, log, process, seconds)
    try:
        async with asyncio.timeout(START_SECONDS):
            await started.answer()
        yield started
    finally:
        await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(START_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
