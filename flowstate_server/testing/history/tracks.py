"""A history by record: who was given which version, and who saw which.

A record's life is a line of *positions*: version ``v`` is at ``2 * v``, its tombstone, if it was deleted at that
version, at ``2 * v + 1``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from flowstate_server.stores.contract.writes import AtVersion
from flowstate_server.testing.history.calls import Answer, Call, Delete, Key, Outcome, Read, Write
from flowstate_server.testing.history.violations import Kind, Violation


class Given(NamedTuple):
    """A part that changed the record."""

    call: Call
    part: Write | Delete
    answer: Answer


class Look(NamedTuple):
    """A part that saw the record at a position from ``lowest`` to ``highest`` and left it so: a read, a write or delete
    that changed nothing, a refused precondition (``part`` is ``None``)."""

    call: Call
    part: Write | Delete | Read | None
    answer: Answer
    lowest: int
    highest: int


@dataclass(slots=True)
class Track:
    """One record in a history."""

    key: Key
    writes: dict[int, Given] = field(default_factory=dict)
    deletes: dict[int, Given] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    unknown: list[tuple[Call, Write | Delete]] = field(default_factory=list)
    last: int = 0

    @property
    def name(self) -> str:
        return "/".join(self.key)


def tracks_of(calls: Iterable[Call], violations: list[Violation]) -> dict[Key, Track]:
    tracks: dict[Key, Track] = {}
    for call in calls:
        if call.outcome is Outcome.ANSWERED:
            for part, answer in zip(call.parts, call.answers, strict=True):
                _add(_track(tracks, part.key), call, part, answer, violations)
        elif call.outcome is Outcome.UNKNOWN:
            for part in call.parts:
                if not isinstance(part, Read):
                    _track(tracks, part.key).unknown.append((call, part))
        elif call.current is not None:
            _add_refused(_track(tracks, call.parts[0].key), call, call.current, violations)
    return tracks


def _track(tracks: dict[Key, Track], key: Key) -> Track:
    track = tracks.get(key)
    if track is None:
        track = tracks[key] = Track(key)
    return track


def _add(
    track: Track, call: Call, part: Write | Delete | Read, answer: Answer, violations: list[Violation]
) -> None:
    version = answer.version
    track.last = max(track.last, version)
    if isinstance(part, Read) or not answer.changed:
        lowest, highest = _positions(answer)
        track.looks.append(Look(call, part, answer, lowest, highest))
        return
    given = track.writes if isinstance(part, Write) else track.deletes
    holder = given.setdefault(version, Given(call, part, answer))
    if holder.call is not call or holder.part is not part:
        detail = f"version {version}"
        violations.append(Violation(Kind.DUPLICATE_VERSION, track.name, detail, (holder.call, call)))
    expected = part.precondition
    before = version - 1 if isinstance(part, Write) else version
    if isinstance(expected, AtVersion) and expected.version != before:
        detail = f"asked for version {expected.version}, written at {before}"
        violations.append(Violation(Kind.PRECONDITION, track.name, detail, (call,)))


def _add_refused(track: Track, call: Call, current: int, violations: list[Violation]) -> None:
    track.last = max(track.last, current)
    answer = Answer(current)
    track.looks.append(Look(call, None, answer, *_positions(answer)))
    part = call.parts[0]
    if not isinstance(part, Read) and part.precondition == AtVersion(current):
        detail = f"refused although the record was at version {current}"
        violations.append(Violation(Kind.PRECONDITION, track.name, detail, (call,)))


def _positions(answer: Answer) -> tuple[int, int]:
    if answer.version == 0:
        return 0, 0
    position = 2 * answer.version
    if answer.exists is None:
        return position, position + 1
    return (position, position) if answer.exists else (position + 1, position + 1)
