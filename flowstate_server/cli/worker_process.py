"""One worker, as the process that started it sees it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Self

from flowstate_server.cli.announcement import Served
from flowstate_server.cli.worker_link import LISTENING, OPENED, VARIABLE, Order

# Of what a worker tells of an application with many flows.
LONGEST_LINE = 1 << 24


class WorkerProcess:
    def __init__(
        self, number: int, process: Process, told: asyncio.StreamReader, orders: asyncio.StreamWriter
    ) -> None:
        self.number = number
        self.pid = process.pid
        self._process = process
        self._told = told
        self._orders = orders
        self._end = asyncio.create_task(process.wait())
        self._listens_since: float | None = None
        self._hung_up = False

    @classmethod
    async def start(cls, number: int, command: Sequence[str], listen: str) -> Self:
        """Raises ``OSError``: the system has no room for it, or no such command."""
        ours, theirs = socket.socketpair()
        with theirs:
            told, orders = await asyncio.open_connection(sock=ours, limit=LONGEST_LINE)
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=DEVNULL,
                    env={**os.environ, VARIABLE: f"{number} {theirs.fileno()} {listen}"},
                    pass_fds=(theirs.fileno(),),
                    process_group=0,  # what a terminal signals to all, this process passes on
                )
            except BaseException:
                orders.close()
                raise
        return cls(number, process, told, orders)

    async def opened(self) -> bool:
        """Wait until all is there but the port; false if it ended before."""
        return await self._next() == {"event": OPENED}

    async def listening(self) -> Served | None:
        """Let it listen, and wait until it does; none if it ended before."""
        self.tell(Order.LISTEN)
        told = await self._next()
        if told is None or told["event"] != LISTENING:
            return None
        self._listens_since = time.monotonic()
        if self._hung_up:
            self._signal(signal.SIGHUP)
        return Served(**told["served"])

    @property
    def seconds(self) -> float:
        """How long it has listened."""
        return 0.0 if self._listens_since is None else time.monotonic() - self._listens_since

    @property
    def has_ended(self) -> bool:
        return self._end.done()

    async def ended(self) -> int:
        """Wait for its end; the exit code, below 0 the signal that ended it."""
        code = await asyncio.shield(self._end)
        self._orders.close()
        return code

    def tell(self, order: Order) -> None:
        if not self._orders.is_closing():
            self._orders.write(f"{order}\n".encode())

    def hang_up(self) -> None:
        """Pass SIGHUP on, as soon as it listens to that: what it is to read anew it may have read before."""
        if self._listens_since is None:
            self._hung_up = True
        else:
            self._signal(signal.SIGHUP)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _next(self) -> dict[str, Any] | None:
        """None if it has ended, or will. Processes that it has forked may have its end of the link for longer."""
        reading = asyncio.ensure_future(self._told.readline())
        try:
            await asyncio.wait((reading, self._end), return_when=asyncio.FIRST_COMPLETED)
            line = reading.result() if reading.done() else b""
        except ConnectionError:
            return None
        finally:
            reading.cancel()
        return json.loads(line) if line else None


def exit_code(code: int) -> int:
    """As a shell has it: 128 and the number of the signal that ended a process."""
    return code if code >= 0 else 128 - code


def how_it_ended(code: int) -> str:
    return f"has ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
