"""JSON Pointers (RFC 6901) as tuples of object keys. Lists are addressed as a whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from flowstate_server.errors import PathInvalidError
from flowstate_server.state.json_limits import MAX_DEPTH, MAX_KEY_BYTES, is_text

Pointer = tuple[str, ...]

_BAD_ESCAPE = re.compile("~(?![01])")


@lru_cache(maxsize=256)  # callers write the same few fields; a pointer has up to 16 KiB
def parse_pointer(text: str) -> Pointer:
    """The keys of a pointer; ``""`` is the root, ``/`` the member whose key is empty.

    Raises:
        PathInvalidError: no ``/`` ahead, a ``~`` that escapes nothing, a key or a depth beyond the JSON profile.
    """
    if not text:
        return ()
    if not is_text(text):
        raise PathInvalidError("given", "holds a lone surrogate")
    if text[0] != "/":
        raise PathInvalidError(text, 'must be "" or start with "/"')
    if "~" in text and _BAD_ESCAPE.search(text):
        raise PathInvalidError(text, 'may have "~" only as "~0" or "~1"')
    keys = tuple(text[1:].split("/"))
    if "~" in text:
        keys = tuple([key.replace("~1", "/").replace("~0", "~") for key in keys])
    if len(keys) > MAX_DEPTH:
        raise PathInvalidError(text, f"goes deeper than {MAX_DEPTH} levels")
    if any(len(key) > 64 and len(key.encode()) > MAX_KEY_BYTES for key in keys):
        raise PathInvalidError(text, f"has a key of more than {MAX_KEY_BYTES} bytes")
    return keys


def format_pointer(pointer: Sequence[str]) -> str:
    """The text that :func:`parse_pointer` reads as ``pointer``."""
    return "".join(["/" + key.replace("~", "~0").replace("/", "~1") for key in pointer])
