"""Messages with one thing wrong in each, made from a message that is right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from flowstate.v1.types_pb2 import Value

M = TypeVar("M", bound=Message)
Field = Any
"""A ``FieldDescriptor``; the stubs know two classes of that name."""

BAD_TEXTS: Sequence[str] = (
    "",
    "\x00",
    "a\x01b",
    "a\nb",
    "\x7f",
    "\u2028",
    "x" * 129,
    "é" * 65,
    "x" * 70_000,
    "'; DROP TABLE sessions; --",
    "../../etc/passwd",
    "{0}{value}%s%n",
    "/a/~2",
    "//",
    "~",
    "/by_id/0/1",
    "no such thing",
    "🜁" * 32,
)
BAD_JSON: Sequence[str] = (
    "",
    "{",
    "nul",
    "{} {}",
    "\ufeff{}",
    "NaN",
    '{"count": NaN}',
    '{"count": -Infinity}',
    '{"count": 1E400}',
    '{"count": 9223372036854775808}',
    '{"count": -9223372036854775809}',
    '{"count": 123456789012345678901234567890}',
    '{"count": "\\ud800"}',
    '{"\\udc00": 1}',
    '{"' + "k" * 257 + '": 1}',
    "[" * 65 + "]" * 65,
    "[" * 100_000,
    '{"a":' * 65 + "1" + "}" * 65,
    '"\\u0000"',
    "[]",
    "null",
    '{"count": "not a number"}',
    '{"count": 1.5}',
    '{"no such field": 1}',
    '{"by_id": {"a": "b"}}',
)
MANY = 200


def bad_messages(message: M, path: str = "") -> Iterator[tuple[str, M]]:
    """Where and a copy with another value there, for every field of ``message``, set or not."""
    for field in message.DESCRIPTOR.fields:
        place = f"{path}{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue
        if field.is_repeated:
            yield from _bad_lists(message, field, place)
        elif field.message_type is not None:
            yield from _bad_parts(message, field, place)
        else:
            for value in _bad_scalars(field):
                yield place, _with(message, field, value)


def _bad_lists(message: M, field: Field, place: str) -> Iterator[tuple[str, M]]:
    parts = list(getattr(message, field.name))
    yield place, _with(message, field, [])
    if parts:
        yield f"{place} * {MANY}", _with(message, field, parts[:1] * MANY)
    if field.message_type is None:
        for value in _bad_scalars(field):
            yield place, _with(message, field, [*parts, value])
        return
    for position, part in enumerate(parts):
        for inner, changed in bad_messages(part, f"{place}[{position}]."):
            yield inner, _with(message, field, [*parts[:position], changed, *parts[position + 1 :]])


def _bad_parts(message: M, field: Field, place: str) -> Iterator[tuple[str, M]]:
    present = message.HasField(field.name)
    part = getattr(message, field.name)
    empty = type(part)()
    yield place, _with(message, field, empty if present else _filled(empty))
    if present:
        without = _copy(message)
        without.ClearField(field.name)
        yield f"{place} unset", without
        for inner, changed in bad_messages(part, f"{place}."):
            yield inner, _with(message, field, changed)


def _filled(part: M) -> M:
    """Something in the first field, so that the message is not taken for an absent one."""
    field = part.DESCRIPTOR.fields[0] if part.DESCRIPTOR.fields else None
    if field is None or field.message_type is not None or field.is_repeated:
        return part
    return _with(part, field, next(iter(_bad_scalars(field))))


def _bad_scalars(field: Field) -> Sequence[Any]:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return (b"", b"\x00\xff\xfe", bytes(1024 * 1024 + 1))
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return BAD_JSON if field.containing_type is Value.DESCRIPTOR else BAD_TEXTS
        case FieldDescriptor.CPPTYPE_INT32:
            return (-1, -(2**31), 2**31 - 1)
        case FieldDescriptor.CPPTYPE_INT64:
            return (-1, -(2**63), 2**63 - 1, 999_999_999_999)
        case FieldDescriptor.CPPTYPE_ENUM:
            return (-1, 0, 99)
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return (float("nan"), float("inf"), float("-inf"), 1e308)
        case FieldDescriptor.CPPTYPE_BOOL:
            return (True, False)
    raise AssertionError(f"no bad values for {field.full_name}")


def _copy(message: M) -> M:
    made = type(message)()
    made.CopyFrom(message)
    return made


def _with(message: M, field: Field, value: Any) -> M:
    made = _copy(message)
    if field.is_repeated:
        made.ClearField(field.name)
        getattr(made, field.name).extend(value)
    elif field.message_type is not None:
        getattr(made, field.name).CopyFrom(value)
        getattr(made, field.name).SetInParent()
    else:
        setattr(made, field.name, value)
    return made
