"""The one connection of a store that is read from."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from contextvars import Context
from time import monotonic
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar, cast

from flowstate_server.errors import StoreUnavailableError
from flowstate_server.stores.sqlite.connection import Connection
from flowstate_server.stores.sqlite.driver_errors import translated

P = ParamSpec("P")
T = TypeVar("T")

TOGETHER = 32
"""Most reads of one snapshot."""
TOGETHER_SECONDS = 0.002
"""After so long no further one is begun on it: those before would wait for their answers."""

Read = Callable[[sqlite3.Cursor], Any]


class Reader:
    """Runs each function on a snapshot, which has every commit acknowledged before it was asked for.

    One connection, not several: threads that read at once pass the interpreter's lock to and fro at every row, which
    costs more than waiting for one another (measured: 16 callers on one connection 88 µs a page of events, on two
    128, on three 163). Who comes while somebody reads shares the next snapshot with all others who have come: the way
    to the thread and back costs as much as a small read.
    """

    def __init__(self, connection: Connection, *, together_seconds: float = TOGETHER_SECONDS) -> None:
        self._connection = connection
        self._together_seconds = together_seconds
        self._reading = False
        self._asked: deque[_Asked] = deque()
        self._rest: asyncio.Task[None] | None = None

    async def run(
        self, function: Callable[Concatenate[sqlite3.Cursor, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        answer: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(lambda cursor: function(cursor, *args, **kwargs), answer))
        if not self._reading:
            self._reading = True
            try:
                await self._read_some()
            finally:
                self._go_on()
        outcome = await answer
        if outcome.error is None:
            return cast(T, outcome.value)
        try:
            if isinstance(outcome.error, sqlite3.Error):
                raise translated(outcome.error) from outcome.error
            raise outcome.error
        finally:
            del outcome  # or the exception's traceback holds the frame that holds the exception

    def _go_on(self) -> None:
        if self._asked:
            # Its context is nobody's: it reads for those who have come meanwhile.
            self._rest = asyncio.create_task(self._read_rest(), context=Context())
        else:
            self._reading = False

    async def _read_rest(self) -> None:
        try:
            while self._asked:
                await self._read_some()
        finally:
            self._reading = False

    async def _read_some(self) -> None:
        """Answer those who have waited longest, at least one."""
        taken = [self._asked.popleft() for _ in range(min(TOGETHER, len(self._asked)))]
        outcomes: Sequence[_Outcome] = [_Outcome(error=StoreUnavailableError())] * len(taken)
        try:
            outcomes = await self._connection.run(
                _on_snapshot, [asked.read for asked in taken], self._together_seconds
            )
        except Exception as error:
            outcomes = [_Outcome(error=error)] * len(taken)
        finally:  # whoever ends this task, nobody waits in vain
            self._asked.extendleft(reversed(taken[len(outcomes) :]))
            for asked, outcome in zip(taken, outcomes, strict=False):
                if not asked.answer.done():
                    asked.answer.set_result(outcome)


class _Outcome(NamedTuple):
    value: Any = None
    error: Exception | None = None


class _Asked(NamedTuple):
    read: Read
    answer: asyncio.Future[_Outcome]


def _on_snapshot(connection: sqlite3.Connection, reads: Sequence[Read], seconds: float) -> list[_Outcome]:
    """The outcomes of those ``reads`` that begin within ``seconds``, and of the first in any case.

    One that fails is the last: the snapshot may have gone with it.
    """
    connection.execute("BEGIN")
    until = monotonic() + seconds
    outcomes: list[_Outcome] = []
    try:
        for read in reads:
            try:
                # One of its own: a generator that is left in the midst of a cursor closes that.
                with closing(connection.cursor()) as cursor:
                    outcomes.append(_Outcome(read(cursor)))
            except Exception as error:
                outcomes.append(_Outcome(error=error))
                break
            if monotonic() >= until:
                break
        return outcomes
    finally:
        connection.rollback()
