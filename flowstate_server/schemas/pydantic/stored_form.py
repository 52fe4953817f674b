"""The form in which a value is stored: what pydantic dumps of it, in one order for sets, and with nothing lost."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from re import Pattern
from typing import Any, cast

from pydantic import BaseModel, RootModel, Secret, SecretBytes, SecretStr

from flowstate_server.errors import JsonInvalidError, JsonNumberError
from flowstate_server.model.json_values import Json, canonical_json
from flowstate_server.state.json_limits import LONE_SURROGATE, NOT_FINITE, is_text
from flowstate_server.state.plain_json import Refused, refuse

SECRETS = (SecretStr, SecretBytes, Secret)
_LEAVES = frozenset((type(None), bool, int, str, bytes))
FLAGS = "a pattern with flags, which its JSON form leaves out: begin the pattern with them, (?i)"
Reveal = Callable[[Any], object]


def refuse_secret(value: object) -> object:
    raise Refused(
        JsonInvalidError, f"a {type(value).__qualname__} has no JSON form: give what get_secret_value() gives"
    )


def stored_form(value: object, dumped: object, secret: Reveal = refuse_secret) -> Any:
    """``dumped``, which pydantic made of ``value``, with sets in canonical order. It is changed in place.

    ``secret`` says what becomes of secrets, of which pydantic makes asterisks.

    Raises:
        Refused: a number is not finite, of which pydantic makes null in places without a type; a key holds a lone
            surrogate; a pattern has flags.
    """
    kind = type(value)
    if kind in _LEAVES:
        return dumped
    if isinstance(value, float):
        if not math.isfinite(value) and not isinstance(dumped, str):
            raise Refused(JsonNumberError, NOT_FINITE)
        return dumped
    if isinstance(value, SECRETS):
        return secret(value)
    if isinstance(value, Pattern):
        return _plain_pattern(value, dumped)
    if isinstance(value, RootModel):
        return stored_form(value.root, dumped, secret)
    if type(dumped) is dict:
        return _object(_members_as_dumped(value), dumped, secret)
    if type(dumped) is list and isinstance(value, set | frozenset):
        return sorted(_elements(value, dumped, secret), key=canonical_json)
    if type(dumped) is list and isinstance(value, Sequence | deque):
        return _elements(value, dumped, secret)
    if isinstance(value, Iterator) and kind.__name__ != "ValidatorIterator":
        refuse(value)  # who looked at it before has taken what it had; pydantic's own is looked at once
    return dumped


def _plain_pattern(value: Pattern[Any], dumped: object) -> object:
    if value.flags != re.compile(value.pattern).flags:
        raise Refused(JsonInvalidError, FLAGS)
    return dumped


def members_of(value: object) -> Mapping[str, object]:
    """What an object is dumped from, by the name or in the order of its members."""
    if isinstance(value, BaseModel):
        held = value.__dict__  # which has cached properties, too
        named = {name: held[name] for name in type(value).__pydantic_fields__ if name in held}
        return {**named, **(value.__pydantic_extra__ or {})}
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    return {}


def _members_as_dumped(value: object) -> Mapping[str, object]:
    members = members_of(value)
    if isinstance(value, BaseModel):
        aliases = {
            info.serialization_alias: members[name]
            for name, info in type(value).model_fields.items()
            if info.serialization_alias and name in members
        }
        return {**members, **aliases} if aliases else members
    return members


def _object(members: Mapping[Any, object], dumped: dict[str, Any], secret: Reveal) -> dict[str, Any]:
    if dumped.keys() != members.keys():
        _require_text(members)
    if not dumped.keys() <= members.keys():
        if len(members) != len(dumped):
            return dumped
        # Keys that are enums, UUIDs or numbers: members keep their order.
        members = dict(zip(dumped, members.values(), strict=True))
    for name, inside in dumped.items():
        try:
            dumped[name] = stored_form(members[name], inside, secret)
        except Refused as refused:
            refused.steps.append(name)
            raise
    return dumped


def _require_text(keys: Iterable[object]) -> None:
    """Pydantic writes another text where a key has none in UTF-8, and so may write two keys as one."""
    for key in keys:
        text = key.value if isinstance(key, Enum) else key
        if isinstance(text, str | PurePath) and not is_text(str(text)):
            raise Refused(JsonInvalidError, LONE_SURROGATE)


def _elements(values: Iterable[object], dumped: list[Any], secret: Reveal) -> list[Any]:
    elements = list(values)
    if len(elements) != len(dumped):
        return dumped
    for place, value in enumerate(elements):
        try:
            dumped[place] = stored_form(value, dumped[place], secret)
        except Refused as refused:
            refused.steps.append(str(place))
            raise
    return dumped


def shared(given: Json, made: Json) -> Json:
    """``made``, with those parts of ``given`` that are equal in it; ``given`` itself if all of it is."""
    if type(given) is not type(made):
        return made
    if type(given) is dict:
        new = cast(dict[str, Json], made)
        result = {key: shared(given[key], value) if key in given else value for key, value in new.items()}
        same = len(result) == len(given) and all(
            key in given and given[key] is value for key, value in result.items()
        )
        return given if same else result
    if type(given) is list:
        old, items = given, cast(list[Json], made)
        kept = [shared(one, other) for one, other in zip(old, items, strict=False)] + items[len(old) :]
        same = len(kept) == len(old) and all(one is other for one, other in zip(kept, old, strict=True))
        return given if same else kept
    return given if given == made and str(given) == str(made) else made


def same_value(one: object, other: object) -> bool:
    """Whether two Python values are equal, as far as their classes let one tell."""
    if one is other:
        return True
    if isinstance(one, tuple) and type(other) is list:  # as which JSON has it
        return len(one) == len(other) and all(map(same_value, one, other))
    if type(one) is not type(other):
        return bool(one == other)
    if isinstance(one, BaseModel) or dataclasses.is_dataclass(one):
        return _same_members(members_of(one), members_of(other))
    if isinstance(one, Mapping):
        return _same_members(one, cast(Mapping[Any, object], other))
    if isinstance(one, list | tuple | deque):
        others = cast(Sequence[object], other)
        return len(one) == len(others) and all(map(same_value, one, others))
    return type(one).__eq__ is object.__eq__ or bool(one == other)


def _same_members(one: Mapping[Any, object], other: Mapping[Any, object]) -> bool:
    return one.keys() == other.keys() and all(same_value(value, other[key]) for key, value in one.items())
