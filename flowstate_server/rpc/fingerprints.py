"""What tells a repeat of a call from another call under the same idempotency key."""

from __future__ import annotations

import hashlib
from typing import TypeVar

from google.protobuf.message import Message

M = TypeVar("M", bound=Message)


def fingerprint(message: M) -> str:
    """A digest of a message as sent, but for its ``idempotency_key``."""
    rest = type(message)()
    rest.CopyFrom(message)
    rest.ClearField("idempotency_key")
    return hashlib.sha256(rest.SerializeToString(deterministic=True)).hexdigest()
