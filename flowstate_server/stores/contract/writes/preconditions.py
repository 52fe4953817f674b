"""What must hold of a record for a write of it."""

from __future__ import annotations

from flowstate_server.model.frozen import frozen


@frozen
class AtVersion:
    """The record must be at exactly this version (0: never written)."""

    version: int


@frozen
class Exists:
    """The record must exist, or must not."""

    exists: bool


Precondition = AtVersion | Exists
