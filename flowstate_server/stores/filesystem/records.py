"""Records <-> the members of their files and lines, by the fields of their classes.

The names of fields are stored. A new field needs a default, which is what older files are read with; one that is
renamed makes the folder of format 1 in the tests fail to open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Any, NewType, TypeVar, get_args, get_origin, get_type_hints

from flowstate_server.model.documents import Document
from flowstate_server.model.events import Event
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import RequestHead, StateRecord
from flowstate_server.stores.filesystem.members import Members, Parsed, line

T = TypeVar("T")

_FLAT = (RequestHead, Event)
"""Classes whose members stand among those of the record that they are in."""

_NAMES = {(StateRecord, "text"): "state", (Document, "text"): "value"}
"""Members that are called otherwise than their fields."""


def members_of(record: Any, *, without: frozenset[str] = frozenset(), brief: bool = False) -> Members:
    """``brief`` leaves out what is as it is by default."""
    members: Members = {}
    for field in _fields_of(type(record)):
        if field.name in without:
            continue
        value = getattr(record, field.name)
        if field.flat:
            members |= members_of(value, brief=brief)
        elif value is not None and not (brief and value == field.default):
            members[field.member] = field.encode(value)
    return members


def record_of(kind: type[T], found: Parsed, **known: Any) -> T:
    """The record; ``known`` are fields that are not told by it.

    Raises:
        ValueError: it is none.
    """
    values = known
    for field in _fields_of(kind):
        if field.name in known:
            continue
        if field.flat:
            values[field.name] = record_of(field.kind, found)
        elif field.member in found:
            values[field.name] = field.decode(found, field.member)
        elif field.default is MISSING:
            raise ValueError(f"there is no {field.member!r}")
    return kind(**values)


@frozen
class _Field:
    name: str
    member: str
    kind: Any
    flat: bool
    default: Any
    encode: Callable[[Any], Any]
    decode: Callable[[Parsed, str], Any]


_FIELDS: dict[type, list[_Field]] = {}


def _fields_of(kind: type) -> list[_Field]:
    known = _FIELDS.get(kind)
    if known is None:
        hints = get_type_hints(kind, localns={"Json": Any})  # which their modules may not have imported
        known = [_field(kind, one, hints[one.name]) for one in fields(kind) if one.init]
        _FIELDS[kind] = known
    return known


def _field(owner: type, one: Any, hint: Any) -> _Field:
    if isinstance(hint, UnionType):  # with None, which is written as no member at all
        [hint] = [option for option in get_args(hint) if option is not NoneType]
    member = _NAMES.get((owner, one.name), one.name)
    default = one.default if one.default_factory is MISSING else one.default_factory()
    flat = hint in _FLAT
    encode, decode = _json_codec(hint) if is_dataclass(hint) or hint is bytes else _value_codec(hint)
    return _Field(one.name, member, hint, flat, default, encode, decode)


def _json_codec(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Parsed, str], Any]]:
    """Of what is kept as JSON text within the record's."""
    if hint is bytes:
        return _same, Parsed.text
    return (
        lambda value: line(members_of(value))[:-1],
        lambda found, name: record_of(hint, Parsed(found.text(name))),
    )


def _value_codec(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Parsed, str], Any]]:
    decode = _decoder(hint)
    return _encoder(hint), lambda found, name: decode(found[name])


def _encoder(hint: Any) -> Callable[[Any], Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is frozenset:
        return sorted
    if origin is tuple:
        encode = _encoder(arguments[0])
        return list if encode is _same else lambda value: [encode(one) for one in value]
    if hasattr(hint, "_fields"):
        encoders = [(name, _encoder(kind)) for name, kind in get_type_hints(hint).items()]
        return lambda key: {name: encode(value) for (name, encode), value in zip(encoders, key, strict=True)}
    return _same


def _decoder(hint: Any) -> Callable[[Any], Any]:
    """From a JSON value, of which anything may have become by hand."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is frozenset or (origin is tuple and arguments[-1] is Ellipsis):
        decode, make = _decoder(arguments[0]), origin
        return lambda value: make([decode(one) for one in _checked(list, value)])
    if origin is tuple:
        decoders = [_decoder(kind) for kind in arguments]
        return lambda value: tuple(
            [decode(one) for decode, one in zip(decoders, _checked(list, value), strict=True)]
        )
    if hasattr(hint, "_fields"):
        parts = [(name, _decoder(kind)) for name, kind in get_type_hints(hint).items()]
        return lambda value: hint(*[decode(_checked(dict, value)[name]) for name, decode in parts])
    if isinstance(hint, NewType):
        return _decoder(hint.__supertype__)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return lambda value: _checked(origin or hint, value)


def _checked(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise ValueError(f"there is no {kind.__name__} where one is expected")
    return value


def _same(value: Any) -> Any:
    return value
