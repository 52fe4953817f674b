"""How one setting is declared: its default, its unit and bounds, what it is, and how it is read from text.

A field of a dataclass whose value comes from a function of this module is a setting: environment variables, options of
``flowstate serve`` and the engine's settings derive from it, and a test holds the table of the documents to it. Only
the standard library is imported here, for the engine declares settings too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

KIB = 1024
MIB = 1024 * KIB

_SETTING = "setting"
_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a field says of itself. ``metavar`` is set where it is an option of ``flowstate serve`` as well."""

    text: str
    type: type
    read: Callable[[str], Any]
    """The value that a text stands for. Raises ValueError where it stands for none."""
    fault: Callable[[Any], str | None]
    """What is wrong with a value, or None."""
    metavar: str | None = None
    shown: str | None = None
    """What the default is called, where it is no value of its own."""


def settings_of(kind: type) -> Iterator[tuple[str, Setting]]:
    """The settings among the fields of a dataclass, in their order."""
    for one in fields(kind):
        if _SETTING in one.metadata:
            yield one.name, one.metadata[_SETTING]


def seconds(
    default: float, text: str, *, zero: bool = False, least: float = 0.0, most: float = math.inf
) -> Any:
    """A duration; not 0 unless ``zero``."""

    def fault(value: Any) -> str | None:
        if not math.isfinite(value) or not least <= value <= most or (value == 0 and not zero):
            return f"must be a number of seconds {_range(least, most) or ('from 0' if zero else 'over 0')}"
        return None

    return _setting(default, Setting(text=text, type=float, read=_number("seconds", float), fault=fault))


def count(default: int, text: str, *, metavar: str | None = None) -> Any:
    """A number of things, at least one."""
    return _whole(default, text, "a whole number", 1, metavar)


def size(default: int, text: str) -> Any:
    """A number of bytes, at least 1 KiB."""
    return _whole(default, text, "a number of bytes", KIB)


def switch(text: str, *, option: bool = False) -> Any:
    """Off by default."""
    metavar = "" if option else None
    return _setting(False, Setting(text=text, type=bool, read=_truth, fault=lambda _: None, metavar=metavar))


def words(
    default: str | None,
    text: str,
    *,
    pattern: str = r"(?s).+",
    metavar: str | None = None,
    shown: str | None = None,
    secret: bool = False,
) -> Any:
    """A text that matches ``pattern`` as a whole; by default any that is not empty. A secret one is in no repr."""

    def fault(value: Any) -> str | None:
        return None if re.fullmatch(pattern, value) else f"must match {pattern}"

    described = Setting(text=text, type=str, read=str, fault=fault, metavar=metavar, shown=shown)
    return _setting(default, described, in_repr=not secret)


def file(text: str, *, option: bool = False) -> Any:
    """The path of a file; none by default."""
    metavar = "FILE" if option else None
    return _setting(None, Setting(text=text, type=Path, read=Path, fault=lambda _: None, metavar=metavar))


def _setting(default: Any, setting: Setting, *, in_repr: bool = True) -> Any:
    return field(default=default, repr=in_repr, metadata={_SETTING: setting})


def _whole(default: int, text: str, what: str, least: int, metavar: str | None = None) -> Any:
    def fault(value: Any) -> str | None:
        return None if value >= least else f"must be {what} from {least:,}"

    described = Setting(text=text, type=int, read=_number(what, int), fault=fault, metavar=metavar)
    return _setting(default, described)


def _number(what: str, kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"must be {'a number of ' if kind is float else ''}{what}") from None

    return read


def _truth(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("must be true or false")
    return word in _TRUE


def _range(least: float, most: float) -> str:
    return f"from {least:g} to {most:g}" if most < math.inf else ""
