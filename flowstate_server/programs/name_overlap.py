"""Whether two declarations of resources can be about the same one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from flowstate_server.errors import ValidationFailedError
from flowstate_server.model.resources import MAX_NAME_BYTES
from flowstate_server.programs.resource_names import check_name, is_pattern

_ONE = "*"
_DEEP = "**"
_PART = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SHORTEST = "x"
"""Stands for an open level in an example of a name."""


def pattern_problems(pattern: str) -> Iterator[str]:
    """Why ``pattern`` can be neither a name nor a pattern of names, if it can't."""
    try:
        check_name("", pattern)
    except ValidationFailedError as refusal:
        yield refusal.violations[0].message
        return
    levels = pattern.split("/")
    if "" in levels:
        yield "must have no empty level"
    if any(not _is_open(level) and not set(level).isdisjoint("*{}") for level in levels):
        yield "may have *, ** and {part} in place of whole levels only, as in files/*"
    if len(set(parts := parts_of(pattern))) < len(parts):
        yield "must not have two parts of one name"


def parts_of(pattern: str) -> list[str]:
    """The names of the levels that have one."""
    return [found[1] for level in pattern.split("/") if (found := _PART.fullmatch(level))]


def name_of_parts(pattern: str, parts: Mapping[str, str]) -> str:
    """The name that has ``parts`` for the levels with names.

    Raises:
        ValueError: they are not those of the pattern, or one can't be a level.
        ValidationFailedError: the name would be over 512 bytes, or have control characters.
    """
    levels, names = pattern.split("/"), parts_of(pattern)
    if len(names) < sum(map(_is_open, levels)):
        raise ValueError(f"{pattern} has levels without a name")
    if parts.keys() != set(names):
        raise ValueError(f"{pattern} takes {', '.join(names)}")
    if bad := [name for name, level in parts.items() if not level or "/" in level]:
        raise ValueError(f"{', '.join(bad)} must be one level: not empty, and without /")
    made = (parts[found[1]] if (found := _PART.fullmatch(level)) else level for level in levels)
    return check_name("name", "/".join(made))


def common_name(one: str, other: str) -> str | None:
    """The shortest name that two declarations cover both; ``None`` if there is none of at most 512 bytes."""
    if not is_pattern(one) and not is_pattern(other):
        return one if one == other else None
    left, right = one.split("/"), other.split("/")
    shortest: dict[tuple[int, int], tuple[str, ...]] = {(len(left), len(right)): ()}
    for here in reversed(range(len(left))):
        for there in reversed(range(len(right))):
            level = _common_level(left[here], right[there])
            if level is None:
                continue
            # A ``**`` may take another level, too; both at once would only make the name longer.
            after = [(here + 1, there + 1)]
            after += [(here, there + 1)] if left[here] == _DEEP else []
            after += [(here + 1, there)] if right[there] == _DEEP else []
            if found := [shortest[place] for place in after if place in shortest]:
                shortest[here, there] = (level, *min(found, key=_bytes))
    levels = shortest.get((0, 0))
    return "/".join(levels) if levels and _bytes(levels) <= MAX_NAME_BYTES else None


def _is_open(level: str) -> bool:
    return level in (_ONE, _DEEP) or _PART.fullmatch(level) is not None


def _common_level(one: str, other: str) -> str | None:
    fixed = [level for level in (one, other) if not _is_open(level)]
    if len(fixed) == 2 and one != other:
        return None
    return fixed[0] if fixed else _SHORTEST


def _bytes(levels: tuple[str, ...]) -> int:
    return len("/".join(levels).encode())
