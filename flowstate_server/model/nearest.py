"""What a mistyped name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_MOST_COMPARED = 200
_MOST_LISTED = 5
_MOST_CHARACTERS = 160  # a message has 400 bytes, and what was asked for is in it too


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``; did you mean "opened"?``, or nothing if none is near."""
    close = get_close_matches(name, list(islice(known, _MOST_COMPARED)), 1)
    return f'; did you mean "{close[0]}"?' if close else ""


def nearest_or_known(name: str, known: Iterable[str]) -> str:
    """The end of a sentence that says that there is no ``name``: the nearest, else which there are, as far as short."""
    names = sorted(known)
    if hint := did_you_mean(name, names):
        return hint
    if not names:
        return "; there is none."
    listed: list[str] = []
    for one in names[:_MOST_LISTED]:
        if sum(map(len, listed)) + len(one) > _MOST_CHARACTERS:
            break
        listed.append(one)
    if not listed:
        return "."
    more = f" and {len(names) - len(listed)} more" if len(names) > len(listed) else ""
    shown = ", ".join(f'"{one}"' for one in listed)
    return f"; there {'is' if len(names) == 1 else 'are'} {shown}{more}."
