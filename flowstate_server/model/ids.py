"""Identifiers: those the server makes and the rules for those that callers choose."""

from __future__ import annotations

import re
import secrets
import time

from flowstate_server.errors import ValidationFailedError, Violation

MAX_ID_BYTES = 128

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [one + two for one in _ALPHABET for two in _ALPHABET]
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def new_id(prefix: str) -> str:
    """``prefix`` and 128 bits that sort by time: 48 bits of Unix milliseconds, then 80 random bits (base 32)."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return prefix + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def new_log_id() -> str:
    """A random id for one incarnation of a session or of a request's log."""
    return secrets.token_hex(8)


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
