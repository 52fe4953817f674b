"""What a block opens by ``async with``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar

from flowstate_server.flows.scope import StateBatch
from flowstate_server.state.write import StateWrite

BatchT = TypeVar("BatchT", bound=StateBatch[Any])


class OpenedByAsyncWith:
    """Says so to who writes ``with``. ``written`` is how a block writes what is opened."""

    written: str

    def __enter__(self) -> NoReturn:
        __tracebackhide__ = True
        raise TypeError(f"{self.written} is opened by `async with`, not by `with`")

    def __exit__(self, *error: object) -> None:
        """Python looks for it before it calls ``__enter__``."""


class OpenBatch(OpenedByAsyncWith, AbstractAsyncContextManager[BatchT], Generic[BatchT]):
    """A batch, committed by ``commit`` when the ``async with`` has ended without an exception."""

    def __init__(
        self, batch: BatchT, commit: Callable[[BatchT], Awaitable[StateWrite]], written: str
    ) -> None:
        self._batch = batch
        self._commit = commit
        self.written = written

    async def __aenter__(self) -> BatchT:
        return self._batch

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._batch.closed = True
        if kind is None:
            self._batch.result = await self._commit(self._batch)
