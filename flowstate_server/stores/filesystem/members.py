"""Files and log lines as JSON objects, in which some members are JSON text that comes back to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

from flowstate_server.model.json_values import Json, decode_json, encode_json

Members = dict[str, Json | bytes]
"""What a file or line tells. ``bytes`` are JSON text and are kept as they are."""

_scan = json.JSONDecoder().raw_decode
_space = re.compile(r"[ \t\r\n]*")


def file_text(members: Members) -> bytes:
    """A member a line."""
    return b"{\n  " + b",\n  ".join(_members(members, b": ")) + b"\n}\n"


def line(members: Members) -> bytes:
    """The same as one line of a log."""
    return b"{" + b",".join(_members(members, b":")) + b"}\n"


def _members(members: Members, colon: bytes) -> Iterator[bytes]:
    for name, value in members.items():
        if not isinstance(value, bytes):
            yield encode_json(name) + colon + encode_json(value)
        elif _embeddable(value):
            yield encode_json(name) + colon + value
        else:
            yield encode_json(f"{name}_text") + colon + encode_json(value.decode())


def _embeddable(text: bytes) -> bool:
    """What is not JSON would spoil the file, and a line break the log."""
    try:
        decode_json(text)
    except ValueError:
        return False
    return b"\n" not in text


class Parsed:
    """A parsed file or line. Spaces and the order of members do not matter: a person may have edited it.

    Raises:
        ValueError: it is not a JSON object.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._raw: dict[str, str] = {}
        self._unread: Iterator[tuple[str, str]] | None = None
        values = decode_json(text)
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
        self._values = cast(dict[str, Any], values)

    def __contains__(self, name: str) -> bool:
        return name in self._values or f"{name}_text" in self._values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def text(self, name: str) -> bytes:
        """The JSON text of a member as it was written."""
        if name not in self._values:
            text = self._values[f"{name}_text"]
            if not isinstance(text, str):
                raise ValueError(f"{name!r} is no text")
            return text.encode()
        if self._unread is None:
            self._unread = _raw_members(self._text.decode())
        while name not in self._raw:
            member, text = next(self._unread)
            self._raw[member] = text
        return self._raw[name].encode()


def _raw_members(text: str) -> Iterator[tuple[str, str]]:
    """Each member's name and the text of its value. ``text`` is known to be a JSON object."""
    at = _after_space(text, 0)
    while text[at] != "}":
        name, at = _scan(text, _after_space(text, at + 1))
        start = _after_space(text, _after_space(text, at) + 1)
        _, end = _scan(text, start)
        yield name, text[start:end]
        at = _after_space(text, end)


def _after_space(text: str, at: int) -> int:
    found = _space.match(text, at)
    return at if found is None else found.end()
