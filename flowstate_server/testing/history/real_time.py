"""The order of positions respects real time: what began after an answer sees at least what was answered."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from flowstate_server.testing.history.calls import Call, Read
from flowstate_server.testing.history.tracks import Track
from flowstate_server.testing.history.violations import Kind, Violation


class _Seen(NamedTuple):
    """``lowest`` is at least known to be reached, ``highest`` must reach what was known, beyond it if ``beyond``."""

    call: Call
    began: int
    ended: int
    lowest: int
    highest: int
    beyond: bool


def check_real_time(track: Track) -> Iterator[Violation]:
    seen = list(_seen(track))
    by_end = iter(sorted(seen, key=attrgetter("ended")))
    upcoming = next(by_end, None)
    newest: _Seen | None = None
    for one in sorted(seen, key=attrgetter("began")):
        while upcoming is not None and upcoming.ended < one.began:
            if newest is None or upcoming.lowest > newest.lowest:
                newest = upcoming
            upcoming = next(by_end, None)
        if newest is not None and one.highest < newest.lowest + one.beyond:
            yield _violation(track, newest, one)


def _violation(track: Track, newest: _Seen, one: _Seen) -> Violation:
    kind = Kind.REORDERED if one.beyond else Kind.STALE_READ
    detail = f"version {one.highest // 2} after version {newest.lowest // 2} was answered"
    return Violation(kind, track.name, detail, (newest.call, one.call))


def _seen(track: Track) -> Iterator[_Seen]:
    for version, (call, _, _) in track.writes.items():
        yield _Seen(call, call.began, call.ended, 2 * version, 2 * version, beyond=True)
    for version, (call, _, _) in track.deletes.items():
        yield _Seen(call, call.began, call.ended, 2 * version + 1, 2 * version + 1, beyond=True)
    for look in track.looks:
        call = look.call
        if call.replayed and not isinstance(look.part, Read):
            continue  # a replay tells of the past
        yield _Seen(call, call.began, call.ended, look.lowest, look.highest, beyond=False)
