"""An event's place among all logs, in one integer: its session's log, then its ``session_sequence``."""

from __future__ import annotations

_SEQUENCE_BITS = 32

EVENT_SEQUENCE = f"e.place & {(1 << _SEQUENCE_BITS) - 1}"
ITEM_SEQUENCE = f"i.place & {(1 << _SEQUENCE_BITS) - 1}"


def place_of(log: int, session_sequence: int) -> int:
    return log << _SEQUENCE_BITS | session_sequence


def start_of(log: str) -> str:
    """SQL for the place before the first one of a log."""
    return f"({log} << {_SEQUENCE_BITS})"
