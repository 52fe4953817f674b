"""A process with one peer open: does what lines of JSON on its input ask for, and answers each with a line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, TextIO

from benchmarks import event_loop
from benchmarks.peers.peer import MESSAGES_A_TURN, NEWEST, Opening, Peer


class Worker:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._turns: defaultdict[str, int] = defaultdict(int)

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        await self._peer.grow(sessions, turns)
        for session in sessions:
            self._turns[session] = turns

    async def turns(
        self, sessions: Sequence[str], each: int, part: bool, seconds: float
    ) -> Mapping[str, Any]:
        """``each`` turns in each session, one after another, all sessions at once; none begins after ``seconds``."""
        took: list[float] = []
        failures: Counter[str] = Counter()
        cpu, began = await self._cpu(), time.perf_counter()

        async def take_turns(session: str) -> None:
            for _ in range(each):
                at = time.perf_counter()
                if at - began > seconds:
                    return
                try:
                    await self._turn(session, part)
                except Exception as error:
                    failures[_told(error)] += 1
                    # What it has written of the turn is not known.
                    self._turns.pop(session, None)
                else:
                    took.append(time.perf_counter() - at)

        await asyncio.gather(*(take_turns(session) for session in sessions))
        elapsed = time.perf_counter() - began
        return {
            "took": took,
            "seconds": elapsed,
            "cpu": await self._cpu() - cpu,
            "failures": failures,
        }

    async def increments(self, session: str, writers: int) -> Mapping[str, Any]:
        """So many writers, all at once, raise the counter of a session that is there by one each."""
        failures: Counter[str] = Counter()

        async def write() -> int:
            try:
                return await self._peer.increment(session)
            except Exception as error:
                failures[_told(error)] += 1
                return 0

        refused = sum(await asyncio.gather(*(write() for _ in range(writers))))
        return {"refused": refused, "failures": failures}

    async def count(self, session: str) -> int:
        return await self._peer.count(session)

    async def _turn(self, session: str, part: bool) -> None:
        """Everybody is measured at the same work: a turn that has read too little is an error of this benchmark."""
        read = await self._peer.turn(session, NEWEST if part else None)
        if session not in self._turns:
            return
        there = self._turns[session] * MESSAGES_A_TURN
        if read != (min(there, NEWEST) if part else there):
            raise AssertionError(f"{read} messages read of {there}")
        self._turns[session] += 1

    async def _cpu(self) -> float:
        return time.process_time() + await self._peer.cpu()


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:100]


async def work(module: str, variant: str, url: str, answers: TextIO) -> None:
    """Until its input ends, or SIGTERM: in either case what the peer has started ends, too."""
    working = asyncio.current_task()
    assert working is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    opening: Opening = import_module(module).open_peer
    async with opening(url, variant) as peer:
        worker = Worker(peer)
        _answer(answers, None)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            method: Callable[..., Awaitable[object]] = getattr(worker, asked.pop("method"))
            _answer(answers, await method(**asked))


def _answer(answers: TextIO, answer: object) -> None:
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    # What a library prints is no answer.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        with suppress(asyncio.CancelledError):
            event_loop.run(work(sys.argv[1], sys.argv[2], sys.argv[3], answers))
