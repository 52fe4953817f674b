"""Keys of maps that JSON does not keep: there every key is a text, and reads as what its type makes of that.

Which pydantic reads of which text differs by version, by type and by what stands beside it in a union, so it is tried:
with every member of enums and literals, and with examples of the types that have a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

from pydantic_core import core_schema

from flowstate_server.model.json_values import encode_json
from flowstate_server.schemas.pydantic.core_schemas import CoreSchema, Definitions, has_code, walk
from flowstate_server.schemas.pydantic.definitions import serializer_of
from flowstate_server.schemas.pydantic.json_mode import validator_of

_OTHERS = (
    True, 1, 2.0, 0.5, Decimal("1"), Decimal("1.5"), 1j, date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC), time(1),
    timedelta(1), UUID(int=1),
)  # fmt: skip
_TEXTS = ("1", "1.5", "true", "2020-01-01", "2020-01-01T00:00:00Z", "01:00:00", "P1D", str(UUID(int=1)))
_EXAMPLES = (*_OTHERS, *_TEXTS, *(text.encode() for text in _TEXTS))
_ADVICE = "declare keys that are texts, or a list of pairs"


def keys_in(schema: CoreSchema, definitions: Definitions) -> list[CoreSchema]:
    """The schemas of all keys in ``schema``."""
    return [part["keys_schema"] for part in walk(schema, definitions) if part.get("keys_schema")]


def lost_key(schema: CoreSchema, definitions: Definitions) -> str | None:
    """What is wrong with keys in ``schema``, in the words of a refusal."""
    problems = (_problem(keys, definitions) for keys in keys_in(schema, definitions) if keys["type"] != "str")
    return next((problem for problem in problems if problem is not None), None)


def _problem(keys: CoreSchema, definitions: Definitions) -> str | None:
    parts = list(walk(keys, definitions))
    nothing = any(getattr(member, "value", member) is None for member in _members(parts))
    if nothing or any(part["type"] in ("nullable", "none") for part in parts):
        return f"has keys that may be None, which JSON has no text for: leave None out, {_ADVICE}"
    if has_code(keys, definitions) or any(part["type"] == "any" for part in parts):
        return None  # each is proven when it is written
    way = _Way(keys, definitions)
    for member in _members(parts):
        if not way.keeps(member):
            name = f"{type(member).__name__}.{member.name}" if isinstance(member, Enum) else repr(member)
            return (
                f"has the key {name}, which does not read back from the text that JSON makes of it: {_ADVICE}"
            )
    for example in _EXAMPLES:
        if not way.keeps(example):
            kind = type(example).__name__
            return f"has keys of {kind} that read back as other ones from the texts that JSON makes of them: {_ADVICE}"
    return None


def _members(parts: list[CoreSchema]) -> Iterator[object]:
    for part in parts:
        if part["type"] in ("enum", "literal"):
            yield from part.get("members") or part["expected"]


class _Way:
    """From a key to JSON and back."""

    def __init__(self, keys: CoreSchema, definitions: Definitions) -> None:
        schema = cast(CoreSchema, core_schema.dict_schema(cast(Any, keys), core_schema.any_schema()))
        self._dump = serializer_of(schema, definitions).to_python
        self._validator = validator_of(schema, definitions)

    def keeps(self, key: object) -> bool:
        """Whether ``key`` is read as it was written; what is no key of these is not written."""
        try:
            (taken,) = self._validator.validate_python({key: None}, strict=True)
            if type(taken) is not type(key) or taken != key:
                return True
            dumped = self._dump({key: None}, mode="json", round_trip=True, warnings=False)
        except ValueError:
            return True
        try:
            (read,) = self._validator.validate_json(encode_json(dumped), strict=True)
        except ValueError:
            return False
        return isinstance(key, type(read)) and bool(
            read == key
        )  # a text may be read for its member of an enum
