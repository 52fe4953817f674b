"""Names of resources, and the patterns of collections."""

from __future__ import annotations

import re
from functools import lru_cache

from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.resources import MAX_NAME_BYTES

MAX_MEDIA_TYPE_BYTES = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAMED = re.compile(r"\{[^{}/]*\}")


def check_name(field: str, name: str) -> str:
    """``name`` if it is 1 to 512 bytes of UTF-8 without control characters.

    Raises:
        ValidationFailedError: naming ``field`` and the rule, never the name.
    """
    if not name:
        raise ValidationFailedError((Violation(field, "required", "must not be empty"),))
    if _CONTROL.search(name):
        raise ValidationFailedError(
            (Violation(field, "control_character", "must hold no control character"),)
        )
    if len(name.encode()) > MAX_NAME_BYTES:
        problem = f"must be at most {MAX_NAME_BYTES} bytes of UTF-8"
        raise ValidationFailedError((Violation(field, "too_long", problem),))
    return name


def check_media_type(field: str, given: object) -> str:
    """``given`` if it is a text of at most 255 bytes without control characters.

    Raises:
        ValidationFailedError: naming ``field``, never what was given.
    """
    if isinstance(given, str) and given.isprintable() and len(given.encode()) <= MAX_MEDIA_TYPE_BYTES:
        return given
    problem = f"must be a text of at most {MAX_MEDIA_TYPE_BYTES} bytes without control characters"
    raise ValidationFailedError((Violation(field, "media_type", problem),))


def is_pattern(name: str) -> bool:
    """Whether it stands for the names of a collection."""
    return "*" in name or "{" in name


def covers(pattern: str, name: str) -> bool:
    """Whether a declaration under ``pattern`` is about a resource called ``name``.

    Levels are divided by ``/``. ``*`` and ``{topic}`` stand for one level, ``**`` for one or more; no level of a name
    in a collection is empty.
    """
    return pattern == name if not is_pattern(pattern) else _matcher(pattern).fullmatch(name) is not None


def fixed_beginning(pattern: str) -> str:
    """What all names begin with that ``pattern`` covers."""
    fixed: list[str] = []
    for level in pattern.split("/"):
        if _is_open(level):
            return "".join([f"{one}/" for one in fixed])
        fixed.append(level)
    return pattern


def _is_open(level: str) -> bool:
    return level in ("*", "**") or _NAMED.fullmatch(level) is not None


@lru_cache(1024)
def _matcher(pattern: str) -> re.Pattern[str]:
    levels = []
    for level in pattern.split("/"):
        if level == "**":
            levels.append("[^/]+(?:/[^/]+)*")
        elif _is_open(level):
            levels.append("[^/]+")
        else:
            levels.append(re.escape(level))
    return re.compile("/".join(levels))
