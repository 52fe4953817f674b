"""Reading JSON as strict models behind validators that pydantic calls before its own."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from flowstate_client.json_profile import from_json_text


def read_strictly(text: bytes, adapter: TypeAdapter[Any], refusal: ValidationError) -> Any:
    """``text`` as a value that writes the same JSON, else a ``ValidationError``: ``refusal``, or one that says more.

    A function that is called before validation hands on a Python value, and from there on pydantic forgets that it
    reads JSON: a strict model then refuses the text of its own date, which read less strictly is that date.
    """
    read = adapter.validate_json(text, strict=False)
    try:
        written = adapter.dump_json(read, by_alias=True, warnings=False)
    except PydanticSerializationError:
        raise refusal from None
    if not _agree(from_json_text(written), from_json_text(text)):
        raise refusal
    return read


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
