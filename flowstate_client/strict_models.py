"""Reading JSON as strict models behind validators that pydantic calls before its own."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from flowstate_client.json_profile import from_json_text


def read_strictly(text: bytes, adapter: TypeAdapter[Any], refusal: ValidationError) -> Any:
    """``text`` as what writes the very same JSON, else a ``ValidationError``: ``refusal``, or one that says more.

    A function that is called before validation hands on a Python value, and from there on pydantic forgets that it
    reads JSON: a strict model then refuses the text of its own date, which read less strictly is that date.
    """
    read = adapter.validate_json(text, strict=False)
    try:
        written = adapter.dump_json(read, by_alias=True, warnings=False)
    except PydanticSerializationError:
        raise refusal from None
    if _normal(written) != _normal(text):
        raise refusal
    return read


def _normal(text: bytes) -> bytes:
    return orjson.dumps(from_json_text(text), option=orjson.OPT_SORT_KEYS)
