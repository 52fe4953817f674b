"""Which floors a group has loaded: only what is made anew has to know one, so they are not asked for ahead."""

from __future__ import annotations

from collections.abc import Callable

from flowstate_server.model.documents import DocumentKey


class FloorNotLoaded(Exception):
    """Load the floor, and decide the batch again."""


class Floors:
    """``asked`` tells whether a floor was loaded, if it is there; ``lacking`` whether one was needed that was not."""

    def __init__(self, asked: Callable[[DocumentKey], bool]) -> None:
        self._asked = asked
        self.lacking = False

    def require(self, key: DocumentKey) -> None:
        if not self._asked(key):
            self.lacking = True
            raise FloorNotLoaded
