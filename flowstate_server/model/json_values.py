"""JSON as FlowState keeps it.

``Json`` values obey the profile that the wire documents (``flowstate.v1.Value``): int64 integers, finite doubles, an
integer and a double stay apart, no lone surrogates. Parsing and checking foreign text or foreign Python values is
``flowstate_server.state.json_profile``; this module holds what is already known to be clean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json import JSONDecodeError
from typing import cast

import orjson

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
JsonObject = dict[str, Json]
EMPTY_OBJECT: bytes = b"{}"


def encode_json(value: Json | Mapping[str, object]) -> bytes:
    """Compact UTF-8 JSON text; keys keep their order."""
    return orjson.dumps(value)


def decode_json(text: bytes | str) -> Json:
    """The value of JSON text, however it is laid out. Whether it keeps to the profile is for others to check.

    Raises:
        JSONDecodeError: it is no JSON, and where.
    """
    try:
        value: Json = orjson.loads(text)
        return value
    except JSONDecodeError as refusal:
        return _decode_refused(text, refusal)


def _decode_refused(text: bytes | str, refusal: JSONDecodeError) -> Json:
    """orjson does not have the last word: it runs out of the room that it sets aside for valid text which is dense
    (a long list of digits) and begins with a bracket, a line break and a blank."""
    place = len(text)
    try:
        decoded = text if isinstance(text, str) else text.decode()
        value = cast(Json, json.loads(decoded))
        # Refuses what the standard library reads and JSON has not: lone surrogates, NaN, a number beyond every double.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        return value
    except JSONDecodeError as error:
        place = error.pos
    except (ValueError, RecursionError):
        pass
    if "memory" in refusal.msg:  # it tells where orjson gave up, not what is wrong
        raise JSONDecodeError("not valid JSON", refusal.doc, place) from None
    raise refusal


def copy_json(value: JsonObject) -> JsonObject:
    """A copy that shares nothing with ``value``.

    Raises:
        TypeError: it is nothing that JSON has.
    """
    return cast(JsonObject, decode_json(encode_json(value))) if value else {}


def canonical_json(value: Json | Mapping[str, Json]) -> bytes:
    """JSON text with sorted keys: equal text means equal values, with 1, 1.0, -0.0 and true all different."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def same_json(one: Json | Mapping[str, Json], other: Json | Mapping[str, Json]) -> bool:
    return one is other or canonical_json(one) == canonical_json(other)
