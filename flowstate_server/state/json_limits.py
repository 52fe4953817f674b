"""The limits of the JSON profile, and the two checks that every way into a state shares."""

from __future__ import annotations

from flowstate_server.errors import JsonInvalidError, JsonLimitError

# Of the contract (types.proto). Recursion of that depth is safe in every language that reads the documents; int64
# is what databases and typed languages hold exactly.
MAX_DEPTH = 64
MAX_KEY_BYTES = 256
MIN_INT = -(2**63)
MAX_INT = 2**63 - 1

TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
KEY_TOO_LONG = f"a key has more than {MAX_KEY_BYTES} bytes"
LONE_SURROGATE = "a string holds a lone surrogate"
INTEGER_OUTSIDE = "an integer outside int64"
NOT_FINITE = "a double that is not finite"


def is_text(value: str) -> bool:
    """Whether a string has a UTF-8 form, which lone surrogates have not."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_key(key: str, path: str) -> None:
    """Refuse a key that is no text or longer than the profile allows; ``path`` is the place of its object."""
    if key.isascii() and len(key) <= MAX_KEY_BYTES:
        return
    if not is_text(key):
        raise JsonInvalidError(path, LONE_SURROGATE)
    if len(key.encode()) > MAX_KEY_BYTES:
        raise JsonLimitError(path, KEY_TOO_LONG)
