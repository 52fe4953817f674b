"""Ids that the client makes, once for each logical call, however often the call is repeated."""

from __future__ import annotations

import secrets
import time

from flowstate_client.arguments import optional_id

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_request_id() -> str:
    """``req_`` and 128 bits that sort by time (48 bits of milliseconds, 80 random bits, base 32)."""
    return _new_id("req_")


def new_idempotency_key() -> str:
    """``idem_`` and 128 bits as in :func:`new_request_id`."""
    return _new_id("idem_")


def idempotency_key_of(given: str | None) -> str:
    """The caller's key, or a new one where none is given.

    Raises:
        ValueError: it is no id.
    """
    return optional_id(given, "idempotency_key") or new_idempotency_key()


def new_upload_id() -> str:
    """``up_`` and 128 bits as in :func:`new_request_id`."""
    return _new_id("up_")


def new_correlation_id() -> str:
    """16 hexadecimal digits."""
    return secrets.token_hex(8)


def _new_id(prefix: str) -> str:
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return prefix + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
