"""``flowstate.v1.Value`` and JSON text."""

from __future__ import annotations

from flowstate.v1.types_pb2 import Value
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.rpc.message_fields import required
from flowstate_server.state.json_profile import parse_json


def encode_text(text: bytes) -> Value:
    """JSON text that is known to be clean."""
    return Value(json=text.decode())


def encode_value(value: Json) -> Value:
    return Value(json=encode_json(value).decode())


def decode_text(value: Value, unset: bytes = b"") -> bytes:
    """The text as sent, unchecked; ``unset`` where no value is."""
    return value.json.encode() if value.WhichOneof("encoding") else unset


def decode_value(value: Value, path: str) -> Json:
    """The value, which must be set and obey the profile; ``path`` is its message field."""
    if not value.WhichOneof("encoding"):
        raise required(path)
    return parse_json(value.json.encode(), path)
