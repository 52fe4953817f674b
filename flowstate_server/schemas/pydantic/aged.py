"""What was accepted once and would not be now: pydantic measures some types by the clock or by the machine's files."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import ValidationError

from flowstate_server.model.json_values import Json, JsonObject

_MEASURED = frozenset(
    (
        "date_past",
        "date_future",
        "datetime_past",
        "datetime_future",
        "path_not_file",
        "path_not_directory",
        "path_exists",
        "parent_does_not_exist",
    )
)


def only_aged(error: ValidationError, before: JsonObject) -> bool:
    """Whether ``error`` is about nothing but measures of what the field had in the state ``before``."""
    lines = error.errors(include_url=False, include_context=False)
    return all(
        line["type"] in _MEASURED and str(line["input"]) in _texts(before.get(str(line["loc"][0])))
        for line in lines
    )


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
