"""Writes down calls as they are made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import Self

from flowstate_server.testing.history.calls import Answer, Call, History, Outcome, Part
from flowstate_server.testing.history.json_lines import begun_line, ended_line


class Recorder:
    """The calls of one client, in memory and, with ``path``, in a file that outlives a killed process.

    ``name`` must differ between the clients of one history. Use it as a context manager if it has a file.
    """

    def __init__(self, name: str = "client", path: Path | None = None) -> None:
        self.history = History()
        self._name = name
        self._numbers = count(1)
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    @contextmanager
    def call(self, parts: Sequence[Part], idempotency_key: str = "") -> Iterator[Call]:
        """A call made inside the ``with``: give it what it was answered with :func:`answer` or :func:`refuse`.

        Left in any other way, by an exception or without an answer, its outcome is unknown.
        """
        call = Call(
            f"{self._name}-{next(self._numbers)}",
            tuple(parts),
            monotonic_ns(),
            idempotency_key=idempotency_key,
        )
        self.history.calls.append(call)
        self._write(begun_line, call)
        try:
            yield call
        finally:
            if not call.ended:
                call.ended = monotonic_ns()
            self._write(ended_line, call)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line_of: Callable[[Call], bytes], call: Call) -> None:
        if self._file is not None:
            # One write a line, straight to the system: what was written survives the death of this process.
            os.write(self._file, line_of(call))


def answer(call: Call, answers: Sequence[Answer], *, replayed: bool | None = None) -> None:
    call.ended = monotonic_ns()
    call.outcome = Outcome.ANSWERED
    call.answers = tuple(answers)
    call.replayed = replayed


def refuse(call: Call, error: BaseException, current: int | None = None) -> None:
    """``current``: the version that a failed precondition told of, which is noted if the call has one part."""
    call.ended = monotonic_ns()
    call.outcome = Outcome.REFUSED
    call.refusal = type(error).__name__
    call.current = current if len(call.parts) == 1 else None
