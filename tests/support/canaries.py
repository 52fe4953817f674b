"""Random strings for secret places, and finding any piece of them in bytes, however it is encoded."""

from __future__ import annotations

import base64
import binascii
import random
import re
import string
from collections.abc import Iterator

_LENGTH = 24
_WINDOW = 10
"""So many letters in a row are no accident."""

_LETTERS = re.compile(rb"[a-z]{%d,}" % _WINDOW)
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_HEX = re.compile(rb"[0-9a-f]{%d,}" % (2 * _WINDOW))
_ESCAPED = re.compile(rb"\\u00([0-9a-f]{2})|%([0-9A-F]{2})")


class Canaries:
    """``canaries("the user's secret")`` is a random word that stands for that place, always the same.

    ``chance`` makes the words those of a seed.
    """

    def __init__(self, chance: random.Random | None = None) -> None:
        self._chance = chance or random.SystemRandom()
        self._words: dict[str, str] = {}
        self._windows: dict[bytes, str] = {}

    def __call__(self, place: str) -> str:
        word = self._words.get(place)
        if word is None:
            word = "".join(self._chance.choice(string.ascii_lowercase) for _ in range(_LENGTH))
            self._words[place] = word
            for start in range(_LENGTH - _WINDOW + 1):
                self._windows[word[start : start + _WINDOW].encode()] = place
        return word

    @property
    def places(self) -> set[str]:
        return set(self._words)

    def found(self, data: bytes) -> set[str]:
        """The places whose words are in ``data``, whole or in part: plain, escaped, in base64, in hex, in UTF-16."""
        places: set[str] = set()
        for form in _forms(data):
            for run in _LETTERS.finditer(form.lower()):
                letters = run[0]
                for start in range(len(letters) - _WINDOW + 1):
                    place = self._windows.get(letters[start : start + _WINDOW])
                    if place is not None:
                        places.add(place)
        return places


def _forms(data: bytes) -> Iterator[bytes]:
    yield data
    yield data.replace(b"\0", b"")
    if b"\\u00" in data or b"%" in data:
        yield _ESCAPED.sub(lambda match: bytes.fromhex((match[1] or match[2]).decode()), data)
    for run in _BASE64.finditer(data):
        for start in range(4):
            yield _decoded(run[0][start:])
    for run in _HEX.finditer(data.lower()):
        for start in range(2):
            digits = run[0][start:]
            yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode())


def _decoded(text: bytes) -> bytes:
    text = text[: len(text) // 4 * 4]
    try:
        return base64.b64decode(text.replace(b"-", b"+").replace(b"_", b"/"))
    except binascii.Error:
        return b""
