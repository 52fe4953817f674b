"""Arguments of the command line that are JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

from flowstate_server.cli.problem import MISUSED, give_up


def json_argument(text: str, name: str) -> Any:
    """The value of ``text``, for ``-`` that of stdin; if it is not JSON, the end of the command."""
    if text == "-":
        text = text_of_stdin(name)
    try:
        return json.loads(text)
    except RecursionError:
        give_up(f"{name} is nested too deeply", MISUSED)
    except ValueError as error:
        give_up(f"{name} {_not_json(text, error)}", MISUSED)


def _not_json(text: str, error: ValueError) -> str:
    """That ``text`` is not JSON, why, and how it is written."""
    if text.isalnum():
        how = f"a text is written '{json.dumps(text)}'"
    else:
        how = 'an object is written \'{"text": "…"}\', and - reads it from stdin'
    return f"is not JSON: {error}; {how}"


def text_of_stdin(name: str) -> str:
    """All of it; if it is no text, the end of the command."""
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        give_up(f"{name} is no text: {error}", MISUSED)


def json_object(text: str, name: str) -> dict[str, Any]:
    """As :func:`json_argument`, of what has to be an object."""
    value = json_argument(text, name)
    if not isinstance(value, dict):
        give_up(
            f'{name} has to be a JSON object, such as {{"ticket": 7}}, not {_KINDS[type(value)]}', MISUSED
        )
    return value


_KINDS = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    type(None): "null",
}
