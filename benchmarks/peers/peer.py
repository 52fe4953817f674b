"""What is asked of each that is compared: conversations of equal turns, kept as its own documentation advises.

A turn reads the history, adds a message of the user and one of the assistant, 1 KiB each, and counts itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

MESSAGES_A_TURN = 2
NEWEST = 20
"""Messages that a turn reads where it does not read all."""


def text() -> str:
    """1 KiB that no other message has: what repeats would be compressed away."""
    return secrets.token_urlsafe(768)


class Peer(Protocol):
    """One that is open, with a database of its own. Raises whatever its library raises."""

    async def grow(self, sessions: Sequence[str], turns: int) -> None:
        """Make new sessions with so many turns each. Not measured: all at once where the library has a way."""

    async def turn(self, session: str, newest: int | None) -> int:
        """A turn; how many messages it has read: all there were, or the ``newest`` of them."""

    async def increment(self, session: str) -> int:
        """Raise the session's counter by one; how many times that was refused before and tried again."""

    async def count(self, session: str) -> int:
        """What the counter says."""

    async def cpu(self) -> float:
        """CPU seconds that processes other than this one have used for it."""


class Opening(Protocol):
    """The function ``open_peer`` of a peer's module."""

    def __call__(self, url: str, variant: str) -> AbstractAsyncContextManager[Peer]: ...
