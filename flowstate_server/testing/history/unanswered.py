"""Which versions unanswered writes may have taken."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from flowstate_server.testing.history.calls import Call, Delete, Write
from flowstate_server.testing.history.tracks import Track
from flowstate_server.testing.history.violations import Kind, Violation

NEVER = 1 << 63


class Unanswered:
    """Equal unanswered writes of one record: which of them happened can't be told apart, only how many."""

    def __init__(self, part: Write | Delete, calls: Sequence[Call]) -> None:
        self.part = part
        self.calls = sorted(calls, key=lambda call: call.began)
        self._began = [call.began for call in self.calls]

    def begun_before(self, deadline: int) -> int:
        return bisect_left(self._began, deadline)


def unanswered_of(track: Track) -> list[Unanswered]:
    kinds: dict[str, tuple[Write | Delete, list[Call]]] = {}
    for call, part in track.unknown:
        # Parts of unlike batches are kept apart, so that batches can be counted.
        kinds.setdefault(repr((part, call.parts)), (part, []))[1].append(call)
    return [Unanswered(part, calls) for part, calls in kinds.values()]


def deadlines(track: Track) -> list[int]:
    """For each version from 0 to the one beyond the last: when somebody is first known to have seen it or a later one.
    A write that took this version began before that, and so did a delete of the version before."""
    ends = [NEVER] * (track.last + 2)
    for version, given in (*track.writes.items(), *track.deletes.items()):
        ends[version] = min(ends[version], given.call.ended)
    for look in track.looks:
        ends[look.answer.version] = min(ends[look.answer.version], look.call.ended)
    for version in range(track.last, -1, -1):
        ends[version] = min(ends[version], ends[version + 1])
    return ends


def check_gaps(track: Track) -> Iterator[Violation]:
    """Each missing version needs an unanswered write of its own that began in time."""
    ends = deadlines(track)
    candidates = sorted(call.began for call, part in track.unknown if isinstance(part, Write))
    used = 0
    for version in range(1, track.last + 1):
        if version in track.writes:
            continue
        if used < len(candidates) and candidates[used] < ends[version]:
            used += 1
            continue
        around = [track.writes[near].call for near in (version - 1, version + 1) if near in track.writes]
        yield Violation(Kind.GAP, track.name, f"version {version}", tuple(around))
