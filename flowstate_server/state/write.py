"""What a write of state did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StateWrite:
    """The record's version after the write, and whether the write changed it (a write that changes nothing commits
    nothing and leaves the version alone)."""

    version: int
    changed: bool
