"""Random messages of any method, valid on the wire and not, drawn from its descriptor."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from flowstate.v1.types_pb2 import Value
from tests.fuzz.random_values import Values

Field = Any
"""A ``FieldDescriptor``; the stubs know two classes of that name."""

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def fill(message: Message, values: Values, often: float = 0.5) -> None:
    """Set fields at random, each ``often``; of a oneof the last one set stays."""
    for field in message.DESCRIPTOR.fields:
        if values.chance.random() < often:
            put_random(message, field, values)


def change(message: Message, values: Values) -> None:
    """Set, replace or clear one field, anywhere in a message."""
    places = list(_places(message))
    if places:
        holder, field = values.chance.choice(places)
        if values.chance.random() < 0.15:
            holder.ClearField(field.name)
        else:
            put_random(holder, field, values)


def _places(message: Message) -> Iterator[tuple[Message, Field]]:
    """Every field, set or not, of every message that is there. Those with JSON are more, for much is wrong with it."""
    for field in message.DESCRIPTOR.fields:
        yield from [(message, field)] * (4 if message.DESCRIPTOR is Value.DESCRIPTOR else 1)
        if field.message_type is None or _is_map(field):
            continue
        if field.is_repeated:
            for part in getattr(message, field.name):
                yield from _places(part)
        elif message.HasField(field.name):
            yield from _places(getattr(message, field.name))


def put_random(message: Message, field: Field, values: Values) -> None:
    if _is_map(field):
        _put_entries(getattr(message, field.name), field.message_type, values)
    elif field.is_repeated:
        message.ClearField(field.name)
        into = getattr(message, field.name)
        for _ in range(values.count()):
            if field.message_type is not None:
                fill(into.add(), values, 0.4)
            else:
                into.append(_scalar(field, values))
    elif field.message_type is not None:
        part = getattr(message, field.name)
        part.SetInParent()
        fill(part, values, 0.4)
    else:
        setattr(message, field.name, _scalar(field, values))


def _put_entries(into: Any, entry: Descriptor, values: Values) -> None:
    value = entry.fields_by_name["value"]
    for _ in range(values.count()):
        key = values.text(entry.name)
        if value.message_type is not None:
            fill(into[key], values, 0.8)
        else:
            into[key] = _scalar(value, values)


def _scalar(field: Field, values: Values) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return values.bytes()
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return values.json() if field.containing_type is Value.DESCRIPTOR else values.text(field.name)
        case FieldDescriptor.CPPTYPE_ENUM:
            return values.chance.choice((*(one.number for one in field.enum_type.values), -1, 99, 2**31 - 1))
        case FieldDescriptor.CPPTYPE_BOOL:
            return values.chance.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return values.double()
    return values.number(*_INTEGERS[field.cpp_type])


def _is_map(field: Field) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def hostile_bytes(right: bytes, kind: Descriptor, chance: random.Random) -> bytes:
    """What is not quite a message of this kind, made from one that is right; some of it parses all the same."""
    make: Callable[[], bytes] = chance.choice(
        (
            lambda: chance.randbytes(chance.randint(0, 2_000)),
            lambda: _mangled(right or b"\x0a\x01x", chance),
            lambda: right[: chance.randint(0, len(right))],
            lambda: right + right,
            lambda: right + _unknown(chance),
            lambda: right + b"\x0b" * chance.choice((1, 99, 101, 50_000)),  # groups that do not end
            lambda: _nested(chance.choice((1, 98, 102, 20_000))),
            lambda: right + b"\x0a" + b"\xff" * chance.randint(1, 12) + b"\x7f",  # a length beyond everything
            lambda: (
                right + b"\x08" + b"\x80" * chance.randint(1, 11) + b"\x00"
            ),  # numbers longer than they need be
            lambda: right + _many(kind.fields, chance),
        )
    )
    return make()


def _mangled(right: bytes, chance: random.Random) -> bytes:
    raw = bytearray(right)
    for _ in range(chance.randint(1, 6)):
        raw[chance.randrange(len(raw))] = chance.randrange(256)
    return bytes(raw)


def _unknown(chance: random.Random) -> bytes:
    """Fields that nobody has drawn."""
    number = chance.choice((15, 2_000, 18_999, 19_500, 2**29 - 1))
    return varint(number << 3 | 2) + varint(5) + b"later" + varint(number << 3) + varint(2**64 - 1)


def _nested(depth: int) -> bytes:
    raw = b""
    for _ in range(depth):
        raw = b"\x0a" + varint(len(raw)) + raw
        if len(raw) > 100_000:
            break
    return raw


def _many(fields: Sequence[Field], chance: random.Random) -> bytes:
    """One field again and again, empty: a few bytes each, and each an object."""
    if not fields:
        return b""
    field = chance.choice([one for one in fields if one.is_repeated] or list(fields))
    of_varints = field.cpp_type not in (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE)
    one = varint(field.number << 3 | (0 if of_varints else 2)) + b"\x00"
    return one * (chance.choice((1_000, 50_000, 4_000_000)) // len(one))


def varint(number: int) -> bytes:
    """As messages have numbers."""
    raw = bytearray()
    while number > 127:
        raw.append(number & 127 | 128)
        number >>= 7
    return bytes((*raw, number))
