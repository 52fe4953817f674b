"""Reading outputs whose computed fields their own model refuses, as it forbids what it has no field for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from flowstate_client.json_profile import from_json_text


def without_computed(text: bytes, adapter: TypeAdapter[Any], refusal: ValidationError) -> bytes | None:
    """``text`` without the members that ``refusal`` forbids and that models of the type compute, ``None`` if it is not
    about such members."""
    places = [
        error["loc"]
        for error in refusal.errors(include_url=False, include_context=False, include_input=False)
        if error["type"] == "extra_forbidden"
    ]
    if not places:
        return None
    names = frozenset(_computed_names(adapter.core_schema))
    value = from_json_text(text)
    dropped = [_drop(value, place) for place in places if place[-1] in names]
    return orjson.dumps(value) if any(dropped) else None


def _computed_names(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for field in node.get("computed_fields") or ():
            yield field.get("alias") or field["property_name"]
        for part in node.values():
            yield from _computed_names(part)
    elif isinstance(node, (list, tuple)):
        for part in node:
            yield from _computed_names(part)


def _drop(value: Any, place: tuple[int | str, ...]) -> bool:
    """Remove the member at ``place``, whose steps name choices of unions, too."""
    *steps, name = place
    for step in steps:
        if isinstance(value, dict):
            value = value.get(step, value)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
    if not isinstance(value, dict) or name not in value:
        return False
    del value[name]
    return True
