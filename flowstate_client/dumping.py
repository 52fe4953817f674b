"""What pydantic dumps of models and dataclasses, with nothing lost and sets in one order."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence, Set
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from re import Pattern
from typing import Any

from pydantic import BaseModel, ConfigDict, RootModel, Secret, SecretBytes, SecretStr, TypeAdapter

SECRETS = (SecretStr, SecretBytes, Secret)


def dumped(value: Any) -> Any:
    """A model or dataclass as JSON types: as it is read back, so without computed fields and with its secrets.

    Numbers that JSON has not stay what they are, for the caller to refuse.

    Raises:
        ValueError: it has no JSON form; the text may hold the value.
    """
    return mended(value, _plain(value))


def unsettled_member(value: Any, plain: Any) -> str | None:
    """The name of a member with bytes of a dataclass of which ``plain`` was made and which has no say in how they are
    written, so that a model may have them in another form where it has the dataclass in a field."""
    if hasattr(type(value), "__pydantic_serializer__") or not isinstance(plain, dict):
        return None
    kind: Any = type(value)
    (elsewhere,) = _in_base64(kind).dump_python([value], mode="json", round_trip=True, warnings=False)
    elsewhere = mended(value, elsewhere)
    return next((name for name, made in plain.items() if elsewhere.get(name) != made), None)


def undumpable_member(value: Any) -> str | None:
    """The name of the member for which a model or dataclass has no JSON form, if it is for one of them."""
    for name in _members(value):
        try:
            mended(value, _plain(value, {name}))
        except ValueError:
            return str(name)
    return None


def _plain(value: Any, include: Any = None) -> Any:
    options: dict[str, Any] = {"by_alias": True, "round_trip": True, "warnings": False, "include": include}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", **options)
    kind: Any = type(value)
    return _adapter(kind).dump_python(value, mode="json", **options)


def in_order(values: Iterable[Any]) -> list[Any]:
    """The JSON values of a set, in the order of their canonical text."""
    return sorted(values, key=lambda value: json.dumps(value, sort_keys=True, ensure_ascii=False))


@lru_cache(maxsize=256)
def _in_base64(kind: Any) -> TypeAdapter[Any]:
    listed: Any = list
    return TypeAdapter(listed[kind], config=ConfigDict(ser_json_bytes="base64"))


@lru_cache(maxsize=256)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def mended(value: Any, plain: Any) -> Any:
    """``plain``, which pydantic made of ``value``: of secrets it makes asterisks, and null of what is not finite where
    no type says that it is a number."""
    if isinstance(value, SECRETS):
        held = secret_value(value)
        return held.decode() if isinstance(held, bytes) else held
    if isinstance(value, float):
        return value if plain is None and not math.isfinite(value) else plain
    if isinstance(value, Pattern):
        require_no_flags(value)
    if isinstance(value, RootModel):
        return mended(value.root, plain)
    if isinstance(plain, dict):
        return _object(_members(value), plain)
    if isinstance(plain, list) and isinstance(value, (Sequence, Set, deque)) and len(value) == len(plain):
        items = [mended(item, made) for item, made in zip(value, plain, strict=True)]
        return in_order(items) if isinstance(value, Set) else items
    return plain


def secret_value(value: Any) -> Any:
    """What a secret of pydantic's wraps."""
    return value.get_secret_value()


def require_no_flags(value: Pattern[Any]) -> None:
    """Refuse a pattern with flags that its text does not say.

    Raises:
        ValueError: it has some.
    """
    if value.flags != re.compile(value.pattern).flags:
        raise ValueError("a pattern's flags are not in its JSON form: begin the pattern with them, (?i)")


def _object(members: Mapping[Any, Any], plain: dict[str, Any]) -> dict[str, Any]:
    if plain.keys() != members.keys():
        _require_text(members)
    if not plain.keys() <= members.keys():
        if len(members) != len(plain):
            return plain
        members = dict(zip(plain, members.values(), strict=True))  # keys that are enums, UUIDs or numbers
    return {name: mended(members[name], made) for name, made in plain.items()}


def _require_text(keys: Iterable[Any]) -> None:
    """Pydantic writes another text where a key has none in UTF-8, and so may write two keys as one."""
    for key in keys:
        text = key.value if isinstance(key, Enum) else key
        if isinstance(text, (str, PurePath)):
            str(text).encode()


def _members(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, BaseModel):
        held = value.__dict__
        fields = type(value).model_fields
        named = {
            info.serialization_alias or name: held[name] for name, info in fields.items() if name in held
        }
        return {**named, **(value.__pydantic_extra__ or {})}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: getattr(value, name) for name in names if hasattr(value, name)}
    return value if isinstance(value, Mapping) else {}
