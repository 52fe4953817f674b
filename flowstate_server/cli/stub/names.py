"""Identifiers for names that need not be any."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection


def class_name(text: str) -> str:
    """``text`` as the name of a class: as it is where it can be, else its words, each with a capital."""
    text = unicodedata.normalize("NFKC", text)  # as Python reads names
    if text.isidentifier() and text[0].isupper() and not keyword.iskeyword(text):
        return text
    joined = "".join(word[0].upper() + word[1:] for word in re.findall(r"[^\W_]+", text))
    return identifier(joined or "Model")


def identifier(text: str) -> str:
    """``text`` as a name that a member can have: no keyword, and with nothing but a letter in front."""
    normal = unicodedata.normalize("NFKC", text)  # as Python reads names
    name = "".join(one if f"n{one}".isidentifier() else "_" for one in normal).lstrip("_")
    if not name.isidentifier():
        name = f"n_{name}".rstrip("_") if name else "unnamed"
    return f"{name}_" if keyword.iskeyword(name) else name


def untaken(name: str, taken: Collection[str], *more: str) -> str:
    """``name``, else with one of ``more`` behind it, else with the first number that makes it new."""
    for candidate in (name, *(f"{name}{one}" for one in more)):
        if candidate not in taken:
            return candidate
    number = 2
    while f"{name}{number}" in taken:
        number += 1
    return f"{name}{number}"
