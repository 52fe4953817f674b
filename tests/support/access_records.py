"""The access log, for tests that wait for its records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager


class AccessRecords(logging.Handler):
    """Keeps the records of ``flowstate.access``; :meth:`count` waits for them instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        self._arrived = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self._arrived.set()

    async def count(self, number: int) -> list[logging.LogRecord]:
        """The records, once there are ``number``; it fails if there are more."""
        while len(self.records) < number:
            self._arrived.clear()
            await self._arrived.wait()
        assert len(self.records) == number
        return self.records


@contextmanager
def recorded_access() -> Iterator[AccessRecords]:
    logger = logging.getLogger("flowstate.access")
    handler = AccessRecords()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
