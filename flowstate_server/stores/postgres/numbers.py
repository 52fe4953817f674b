"""The integers that stand for logs and for requests, drawn from the database 64 at a time."""

from __future__ import annotations

from collections import deque
from typing import Any

DRAWN = 64
"""The increment of the sequences, which is stored."""


class NumberSource:
    """Numbers that no other process gets. Those of a group that fails are lost, as in any sequence."""

    def __init__(self, sequence: str) -> None:
        self._query = f"SELECT nextval('flowstate.{sequence}') FROM generate_series(1, $1::int)"
        self._left: deque[int] = deque()

    async def take(self, connection: Any, wanted: int) -> list[int]:
        missing = wanted - len(self._left)
        if missing > 0:
            for (first,) in await connection.fetch(self._query, -(-missing // DRAWN)):
                self._left.extend(range(first, first + DRAWN))
        return [self._left.popleft() for _ in range(wanted)]
