"""What a group was asked to load. Some of what a batch needs shows only when it is decided: it is loaded then, and the
batch decided again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowstate_server.stores.contract.tables import Needs, Table


class NotAsked(Exception):
    """Load what is lacking, and decide the batch again."""


class Asked:
    """``asked`` tells whether a key was looked for, found or not; ``lacking`` is what was needed and was not."""

    def __init__(self, asked: Callable[[Table[Any, Any], Any], bool]) -> None:
        self._asked = asked
        self.lacking: Needs | None = None

    def require(self, table: Table[Any, Any], key: Any) -> None:
        """Note what was not looked for."""
        if not self._asked(table, key):
            self.lacking = self.lacking or Needs()
            self.lacking.add(table, key)

    def check(self) -> None:
        """
        Raises:
            NotAsked: something that was required is lacking.
        """
        if self.lacking is not None:
            raise NotAsked
