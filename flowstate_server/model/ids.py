"""Identifiers: those the server makes and the rules for those that callers choose."""

from __future__ import annotations

import os
import re
import time
from collections import deque

from flowstate_server.errors import ValidationFailedError, Violation

MAX_ID_BYTES = 128

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [one + two for one in _ALPHABET for two in _ALPHABET]
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


_BYTES = 10
_FETCHED = 256
_random: deque[bytes] = deque()
"""From the system, which takes longer for a few bytes than all else that an id needs."""
os.register_at_fork(after_in_child=_random.clear)


def _random_bytes() -> bytes:
    while True:
        try:
            return _random.pop()
        except IndexError:
            fetched = os.urandom(_BYTES * _FETCHED)
            _random.extend(fetched[at : at + _BYTES] for at in range(0, len(fetched), _BYTES))


def new_id(prefix: str) -> str:
    """``prefix`` and 128 bits that sort by time: 48 bits of Unix milliseconds, then 80 random bits (base 32)."""
    number = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(_random_bytes(), "big")
    return prefix + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def random_id(prefix: str) -> str:
    """``prefix`` and 80 random bits, for what is never sorted: a fraction of the time that :func:`new_id` takes."""
    return prefix + _random_bytes().hex()


def new_log_id() -> str:
    """A random id for one incarnation of a session or of a request's log."""
    return _random_bytes()[:8].hex()


def check_id(field: str, value: str, *, required: bool = True) -> str:
    """``value`` if it is 1 to 128 bytes of UTF-8 without control characters (or empty where not ``required``).

    Raises:
        ValidationFailedError: naming ``field`` and the rule, never the value.
    """
    if not value:
        if required:
            raise ValidationFailedError((Violation(field, "required", "must not be empty"),))
        return value
    if len(value) <= MAX_ID_BYTES and value.isascii() and value.isprintable():
        return value
    if _CONTROL.search(value):
        raise ValidationFailedError(
            (Violation(field, "control_character", "must hold no control character"),)
        )
    if len(value.encode()) > MAX_ID_BYTES:
        problem = f"must be at most {MAX_ID_BYTES} bytes of UTF-8"
        raise ValidationFailedError((Violation(field, "too_long", problem),))
    return value
