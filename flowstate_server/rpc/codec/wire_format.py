"""Pieces of serialized messages, put together by hand where building the whole message costs too much.

protobuf takes the fields of a message in any order; see https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_VARINT, _DELIMITED = 0, 2
_INTEGERS = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64)
_LOW = [bytes((low | 0x80,)) for low in range(0x80)]
_HIGH = [bytes((high,)) for high in range(0x80)]


def tag(message: Descriptor, field: str) -> bytes:
    """What stands ahead of the value of a field, an integer, a string or a message."""
    described = message.fields_by_name[field]
    kind = _VARINT if described.type in _INTEGERS else _DELIMITED
    return varint(described.number << 3 | kind)


def varint(number: int) -> bytes:
    """An integer that is not negative."""
    if number < 0x80:
        return _HIGH[number]
    if number < 0x4000:
        return _LOW[number & 0x7F] + _HIGH[number >> 7]
    return _LOW[number & 0x7F] + varint(number >> 7)


def delimited(tag: bytes, content: bytes) -> bytes:
    """A field that is a string or a message."""
    return tag + varint(len(content)) + content
