"""Bytes stored for a turn: one state write, two messages of 1 KB, the log of both, with and without what is swept."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.result import Options, Quantity, Result, at_most
from benchmarks.subject import subject

SESSIONS = 10
TURNS = 100
MESSAGE = "What there is to say " * 49
"""1,029 bytes, which the user says and the block answers."""

SWEEP_LOOKS = 300
SWEPT = "SELECT NOT EXISTS (SELECT 1 FROM events WHERE transient)"


async def space(options: Options) -> Sequence[Result]:
    content = 2 * len(MESSAGE)
    fresh, swept = await _bytes_a_turn(sweep=False), await _bytes_a_turn(sweep=True)
    return (
        Quantity(f"stored a turn of {content} bytes", fresh, "bytes"),
        Quantity("stored a turn, transient events swept", swept, "bytes"),
        Quantity("stored a turn, swept / its content", swept / content, "times", at_most(2)),
    )


async def _bytes_a_turn(*, sweep: bool) -> float:
    before = await _size_after(0, sweep=sweep)
    after = await _size_after(TURNS, sweep=sweep)
    return (after - before) / (SESSIONS * TURNS)


async def _size_after(turns: int, *, sweep: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        settings = {"FLOWSTATE_TRANSIENT_RETENTION": "0" if sweep else "600"}
        async with subject(Path(folder), f"sqlite:///{path}", **settings) as server:
            sessions = await server.new_sessions(SESSIONS)
            for _ in range(turns):
                await asyncio.gather(
                    *(server.call("exchange", {"text": MESSAGE}, session) for session in sessions)
                )
            if sweep:
                await _swept(path)
        pages, free, size = (
            _answer(path, f"pragma {name}") for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size


async def _swept(path: Path) -> None:
    for _ in range(SWEEP_LOOKS):
        if _answer(path, SWEPT):
            return
        await asyncio.sleep(0.2)
    raise RuntimeError("transient events were not swept")


def _answer(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as database:
        ((value,),) = database.execute(query).fetchall()
        return int(value)
