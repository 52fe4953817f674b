"""JSON as FlowState keeps it.

``Json`` values obey the profile that the wire documents (``flowstate.v1.Value``): int64 integers, finite doubles, an
integer and a double stay apart, no lone surrogates. Parsing and checking foreign text or foreign Python values is
``flowstate_server.state.json_profile``; this module holds what is already known to be clean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import orjson

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
JsonObject = dict[str, Json]
EMPTY_OBJECT: bytes = b"{}"


def encode_json(value: Json | Mapping[str, object]) -> bytes:
    """Compact UTF-8 JSON text; keys keep their order."""
    return orjson.dumps(value)


def decode_json(text: bytes | str) -> Json:
    """The value of text that :func:`encode_json` or the profile check has produced."""
    return cast(Json, orjson.loads(text))


def canonical_json(value: Json | Mapping[str, Json]) -> bytes:
    """JSON text with sorted keys: equal text means equal values, with 1, 1.0, -0.0 and true all different."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def same_json(one: Json | Mapping[str, Json], other: Json | Mapping[str, Json]) -> bool:
    return one is other or canonical_json(one) == canonical_json(other)
