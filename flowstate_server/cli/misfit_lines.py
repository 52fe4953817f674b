"""Stored records that don't fit the flows, in words."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.deployment import Misfit

MOST_KEYS = 5


def misfit_lines(misfits: Iterable[Misfit]) -> list[str]:
    """A line for each, and one more that says how such records are mended."""
    found = sorted(misfits, key=lambda misfit: misfit.place)
    scopes = dict.fromkeys(misfit.place.scope.capitalize() for misfit in found if misfit.place.message)
    lines = [f"problem: {_line(misfit)}" for misfit in found]
    if scopes:
        whose = " and ".join(f"{scope}(...)" for scope in scopes)
        lines.append(
            f"mend it: let the fields take what is stored, or give {whose} a generation= and an upgrade= that "
            "makes what is stored fit"
        )
    return lines


def _line(misfit: Misfit) -> str:
    place = misfit.place
    if place.message:
        why = f"{place.path or 'as a whole'}: {place.message} ({place.rule})"
    else:
        where = f'field "{place.field}"' if place.field else "as a whole"
        why = f"{where} ({place.rule}{f': {place.detail}' if place.detail else ''})"
    shown = [f"{key.tenant}/{key.id}" if key.tenant else key.id for key in misfit.keys[:MOST_KEYS]]
    if misfit.count > len(shown):
        shown.append("...")
    count = f"{misfit.count:,} {place.scope}{'' if misfit.count == 1 else 's'}"
    return f'flow "{place.flow}", {place.scope} state, {why}: {count}: {", ".join(shown)}'
