"""The JSON profile of ``flowstate.v1.Value``: foreign text and Python values become clean ``Json``, or are refused.

The profile: UTF-8 without a byte order mark; a literal without fraction and exponent is an integer and fits int64,
any other number is a finite double; no lone surrogates, escaped or not; at most 64 containers deep; keys of at most
256 bytes; of duplicate keys the last one wins. Errors name the place (a JSON Pointer below the given ``path``) and the
rule, never a value.
"""

from __future__ import annotations

import re
from json import JSONDecodeError
from typing import cast

from flowstate_server.errors import JsonInvalidError
from flowstate_server.model.json_values import Json, decode_json
from flowstate_server.state.json_fault import Fault, JsonRefusal, find_fault
from flowstate_server.state.json_limits import MAX_DEPTH, MAX_INT, MAX_KEY_BYTES, MIN_INT
from flowstate_server.state.python_values import to_json

__all__ = ["parse_json", "to_json"]

_TWO_63 = 2.0**63
_LONG_INTEGER = re.compile(rb"(?<![0-9.])[0-9]{19,}(?![0-9.eE])")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def parse_json(text: bytes, path: str) -> Json:
    """The value of JSON text from outside.

    Raises:
        JsonInvalidError: not JSON, not UTF-8, a byte order mark, a lone surrogate.
        JsonLimitError: too deep, or a key too long.
        JsonNumberError: an integer outside int64, a double that is not finite, ``NaN``, ``Infinity``.
    """
    try:
        value = decode_json(text)
    except JSONDecodeError as error:
        raise _refusal(text, path, error) from None
    large: list[float] = []
    if not _is_clean([value], MAX_DEPTH + 1, large) or (large and _LONG_INTEGER.search(text)):
        decoded = text.decode()
        fault = find_fault(decoded)
        if fault is not None:
            raise fault.error(path, decoded)
    return value


def _is_clean(node: list[Json] | dict[str, Json], levels: int, large: list[float]) -> bool:
    """Whether a parsed value fits the profile, but for the doubles put in ``large``.

    orjson gives an integer beyond uint64 as a double without a word, so of those only the text tells.
    """
    if not levels:
        return False
    if type(node) is dict:
        for key in node:
            if len(key) > 64 and len(key.encode()) > MAX_KEY_BYTES:
                return False
    for item in node.values() if type(node) is dict else node:
        kind = type(item)
        if kind is str or item is None or kind is bool:
            continue
        if kind is int:
            if not MIN_INT <= cast(int, item) <= MAX_INT:
                return False
        elif kind is float:
            if not -_TWO_63 < cast(float, item) < _TWO_63:
                large.append(cast(float, item))
        elif not _is_clean(cast(list[Json], item), levels - 1, large):
            return False
    return True


def _refusal(text: bytes, path: str, error: JSONDecodeError) -> JsonRefusal:
    """Why ``text`` is refused: the profile rule that it breaks ahead of the syntax error, else that."""
    if text.startswith(_BYTE_ORDER_MARK):
        return JsonInvalidError(path, "the text starts with a byte order mark")
    try:
        decoded = text.decode()
    except UnicodeDecodeError as undecodable:
        return JsonInvalidError(path, f"the text is not UTF-8 at byte {undecodable.start}")
    fault = find_fault(decoded)
    if fault is not None and fault.position <= error.pos:
        return fault.error(path, decoded)
    return Fault(JsonInvalidError, "not valid JSON", error.pos, ()).error(path, decoded)
