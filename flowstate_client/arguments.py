"""What a caller passes, checked ahead of the wire, where a mistake would be stored or fail without a name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from flowstate.v1 import types_pb2
from flowstate_client.json_profile import check_text

# The contract's limits, the same on every server. Those that a server may set otherwise are left to it.
MAX_ID_BYTES = 128
MAX_TAGS = 64
MAX_POINTERS = 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAX_INT32 = 2**31 - 1

T = TypeVar("T")
Key = TypeVar("Key", bound=str)
Value = TypeVar("Value")


def texts(given: Iterable[str], name: str) -> tuple[str, ...]:
    """The texts of a list that is called ``name``. One text is none: its letters would be taken.

    Raises:
        TypeError: it is no list, or something in it is no text.
        ValueError: a text has a lone surrogate.
    """
    found = _listed(given, f"{name} takes a list of texts")
    return tuple(check_text(one, f"{name}[{place}]") for place, one in enumerate(found))


def one_or_more(given: str | Iterable[str], name: str) -> tuple[str, ...]:
    """As :func:`texts`, of one text, too."""
    return texts((given,) if isinstance(given, str) else given, name)


def instances(given: Iterable[T], kind: type[T], name: str, most: int = _MAX_INT32) -> tuple[T, ...]:
    """The values of a list that is called ``name``, 1 to ``most``.

    Raises:
        TypeError: it is no list, or something in it is of another type.
        ValueError: they are none, or too many.
    """
    found = _listed(given, f"{name} takes a list of {kind.__name__}")
    for place, one in enumerate(found):
        if not isinstance(one, kind):
            raise TypeError(f"{name}[{place}] must be a {kind.__name__}, not {type(one).__name__}")
    return _within(found, name, most)


def identifier(given: str, name: str, most: int = MAX_ID_BYTES) -> str:
    """The id that is called ``name``: 1 to ``most`` bytes of UTF-8 without control characters.

    Raises:
        TypeError: it is no text.
        ValueError: it is none.
    """
    if not check_text(given, name):
        raise ValueError(f"{name} must not be empty")
    if _CONTROL.search(given):
        raise ValueError(f"{name} must have no control character")
    return bounded(given, name, most)


def optional_id(given: str | None, name: str) -> str:
    """As :func:`identifier`, or empty where none is given."""
    return identifier(given, name) if given or not isinstance(given, str | None) else ""


def identifiers(given: str | Iterable[str], name: str, most: int) -> tuple[str, ...]:
    """A list of 1 to ``most`` ids."""
    found = _within(one_or_more(given, name), name, most)
    return tuple(identifier(one, f"{name}[{place}]") for place, one in enumerate(found))


def labels(given: Iterable[str], name: str) -> tuple[str, ...]:
    """Up to 64 tags, each as an id is."""
    found = _within(texts(given, name), name, MAX_TAGS, least=0)
    return tuple(identifier(one, f"{name}[{place}]") for place, one in enumerate(found))


def pointers(given: Iterable[str], name: str) -> tuple[str, ...]:
    """Up to 100 JSON Pointers.

    Raises:
        TypeError: it is no list of texts.
        ValueError: they are too many, or one is none.
    """
    found = _within(texts(given, name), name, MAX_POINTERS, least=0)
    for place, one in enumerate(found):
        if one and not one.startswith("/"):
            raise ValueError(f"{name}[{place}] must be a JSON Pointer, such as {'/' + one!r}")
    return found


def bounded(given: str, name: str, most: int) -> str:
    """A text of at most so many bytes of UTF-8.

    Raises:
        TypeError: it is no text.
        ValueError: it is longer.
    """
    size = len(check_text(given, name).encode())
    if size > most:
        raise ValueError(f"{name} has {size} bytes of UTF-8, at most {most} can be sent")
    return given


def number(given: int, name: str, *, least: int = 0, most: int = _MAX_INT32) -> int:
    """
    Raises:
        TypeError: it is no whole number.
        ValueError: it is not in the range.
    """
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"{name} must be an int, not {type(given).__name__}")
    if not least <= given <= most:
        bounds = f"at least {least}" if given < least else f"at most {most}"
        raise ValueError(f"{name} must be {bounds}, not {given}")
    return given


def seconds(given: float | None, name: str, *, positive: bool = False) -> float | None:
    """A time in seconds; ``None`` where none is given.

    Raises:
        TypeError: it is no number.
        ValueError: it is negative or no time, or 0 where it must be ``positive``.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {type(given).__name__}")
    if not math.isfinite(given) or given < 0 or (positive and not given):
        raise ValueError(f"{name} must be a time in seconds{', over 0' if positive else ''}, not {given}")
    return given


def mapping(given: Mapping[Key, Value], name: str) -> dict[Key, Value]:
    """The mapping that is called ``name``.

    Raises:
        TypeError: it is none, or a key is no text.
    """
    found: object = given
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} takes a mapping, such as a dict, not {type(found).__name__}")
    for key in found:
        check_text(key, f"a key of {name}")
    return dict(given)


def scope_ref(*, flow_kind: str | None = "", isolated: bool = False, **owner: str) -> types_pb2.ScopeRef:
    """The reference of a record by its ``owner``, such as ``user_id="u1"``.

    Raises:
        TypeError: something is no text.
        ValueError: something is no id.
    """
    ((name, id),) = owner.items()
    ref = types_pb2.ScopeRef(flow_kind=optional_id(flow_kind, "flow_kind"), isolated=isolated)
    setattr(ref, name, identifier(id, name))
    return ref


def _within(found: tuple[T, ...], name: str, most: int, *, least: int = 1) -> tuple[T, ...]:
    if not least <= len(found) <= most:
        raise ValueError(
            f"{name} has {len(found)} entries, " + (f"at most {most}" if found else "at least one")
        )
    return found


def _listed(given: Any, wanted: str) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes)):
        raise TypeError(f"{wanted}, not one text")
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"{wanted}, not {type(given).__name__}")
    return tuple(given)
