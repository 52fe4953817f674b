"""Files and log lines as JSON objects, in which some members are JSON text that comes back to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from flowstate_server.model.json_values import Json, decode_json, encode_json

_scan = json.JSONDecoder().raw_decode
_space = re.compile(r"[ \t\r\n]*")


def document(members: Mapping[str, Json | bytes]) -> bytes:
    """A file's text, a member a line. ``bytes`` are JSON text and are kept as they are."""
    return b"{\n  " + b",\n  ".join(_members(members, b": ")) + b"\n}\n"


def line(members: Mapping[str, Json | bytes]) -> bytes:
    """The same as one line of a log."""
    return b"{" + b",".join(_members(members, b":")) + b"}\n"


def _members(members: Mapping[str, Json | bytes], colon: bytes) -> Iterator[bytes]:
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


class Document:
    """A parsed file or line. Spaces and the order of members do not matter: a person may have edited it.

    Raises:
        ValueError: it is not a JSON object.
    """

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._raw: dict[str, str] | None = None
        values = decode_json(text)
        if not isinstance(values, dict):
            raise ValueError("not a JSON object")
        self._values = cast(dict[str, Any], values)

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise ValueError(f"there is no {name!r}") from None

    def get(self, name: str, absent: Any) -> Any:
        return self._values.get(name, absent)

    def text(self, name: str) -> bytes | None:
        """The JSON text of a member, if there is one, as it was written."""
        if name in self._values:
            if self._raw is None:
                self._raw = _raw_members(self._text.decode())
            return self._raw[name].encode()
        text = self._values.get(f"{name}_text")
        return None if text is None else cast(str, text).encode()


def _raw_members(text: str) -> dict[str, str]:
    """The text of each member's value. ``text`` is known to be a JSON object."""
    members: dict[str, str] = {}
    at = _after_space(text, 0)
    while text[at] != "}":
        name, at = _scan(text, _after_space(text, at + 1))
        start = _after_space(text, _after_space(text, at) + 1)
        _, end = _scan(text, start)
        members[name] = text[start:end]
        at = _after_space(text, end)
    return members


def _after_space(text: str, at: int) -> int:
    found = _space.match(text, at)
    return at if found is None else found.end()
