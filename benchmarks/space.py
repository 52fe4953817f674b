"""Bytes stored for a turn: one state write, one message, the log of both, its transient events included."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.call_action import SAY
from benchmarks.flow import REPLY
from benchmarks.result import Options, Quantity, Result
from benchmarks.subject import subject

SESSIONS = 10
TURNS = 100


async def space(options: Options) -> Sequence[Result]:
    before = await _size_after(0)
    after = await _size_after(TURNS)
    a_turn = (after - before) / (SESSIONS * TURNS)
    said = len(SAY["text"]) + len(REPLY)
    return (Quantity(f"stored a turn of {said} bytes of text", a_turn, "bytes"),)


async def _size_after(turns: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        database_path = Path(folder) / "bench.db"
        async with subject(Path(folder), f"sqlite:///{database_path}") as server:
            sessions = await server.new_sessions(SESSIONS)
            for _ in range(turns):
                await asyncio.gather(*(server.call("turn", SAY, session) for session in sessions))
        with closing(sqlite3.connect(database_path)) as database:
            (pages,) = database.execute("pragma page_count").fetchone()
            (free,) = database.execute("pragma freelist_count").fetchone()
            (page,) = database.execute("pragma page_size").fetchone()
        return int((pages - free) * page)
