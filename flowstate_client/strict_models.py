"""Reading JSON as strict models behind validators that pydantic calls before its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from flowstate_client.json_profile import from_json_text


def read_strictly(text: bytes, adapter: TypeAdapter[Any], refusal: ValidationError) -> Any:
    """``text`` as a value that writes the same JSON where it was refused, else a ``ValidationError``.

    A function that is called before validation hands on a Python value, and from there on pydantic forgets that it
    reads JSON: a strict model then refuses the text of its own date, which read less strictly is that date. What was
    taken may well be written otherwise than it is read.

    Raises:
        ValidationError: ``refusal``, or one that says more.
    """
    read = adapter.validate_json(text, strict=False)
    try:
        written = adapter.dump_json(read, by_alias=True, warnings=False)
    except PydanticSerializationError:
        raise refusal from None
    again, given = from_json_text(written), from_json_text(text)
    problems = refusal.errors(include_url=False, include_context=False, include_input=False)
    if not all(_agree_at(problem["loc"], again, given) for problem in problems):
        raise refusal
    return read


def _agree_at(place: Iterable[int | str], written: Any, given: Any) -> bool:
    """Whether both are the same where ``place`` leads in both, or in what holds that: elements of a set change places.

    It also has steps that are no keys, as the names of members of unions.
    """
    held = [(written, given)]
    for step in place:
        if not (_has(written, step) and _has(given, step)):
            break
        written, given = written[step], given[step]
        held.append((written, given))
    return any(_agree(*both) for both in reversed(held))


def _has(value: Any, step: int | str) -> bool:
    if isinstance(value, list):
        return isinstance(step, int) and step < len(value)
    return isinstance(value, dict) and step in value


def _agree(written: Any, given: Any) -> bool:
    """Whether both are the same but for members that one of them lacks, as defaults or what a model ignores, and for
    the order of a set."""
    if type(written) is not type(given):
        return False
    if isinstance(written, dict):
        return all(_agree(value, given[name]) for name, value in written.items() if name in given)
    if isinstance(written, list):
        return len(written) == len(given) and (
            all(map(_agree, written, given)) or all(map(_agree, _ordered(written), _ordered(given)))
        )
    return bool(written == given)


def _ordered(items: list[Any]) -> list[Any]:
    return sorted(items, key=lambda item: orjson.dumps(item, option=orjson.OPT_SORT_KEYS))
