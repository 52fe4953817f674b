"""Unanswered batches: in all of their records, or in none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from flowstate_server.state.operations import Append, Increment
from flowstate_server.testing.history.calls import Call, Key, Read, Write
from flowstate_server.testing.history.replay import Replay
from flowstate_server.testing.history.violations import Kind, Violation


def check_torn(replays: Mapping[Key, Replay], calls: Sequence[Call]) -> Iterator[Violation]:
    """Counted in records that one read has seen as they are in the end, of batches that can't go without effect."""
    batches: dict[str, Call] = {}
    for replay in replays.values():
        for kind in replay.kinds:
            for call in kind.calls:
                batches.setdefault(repr(call.parts), call)
    finals = [set(keys) for call in calls if (keys := _final_keys(replays, call))]
    for call in batches.values():
        counted = [part for part in call.parts if isinstance(part, Write) and _always_changes(part)]
        for one, other in pairwise(counted):
            if any({one.key, other.key} <= keys for keys in finals):
                yield from _compare(replays, (one, other), call)


def _compare(replays: Mapping[Key, Replay], two: tuple[Write, Write], call: Call) -> Iterator[Violation]:
    counts = [_counts(replays[part.key], call, part) for part in two]
    if not counts[0] & counts[1]:
        shown = [" or ".join(str(count) for count in sorted(found)) for found in counts]
        detail = f"{shown[0]} times in {'/'.join(two[0].key)}, {shown[1]} times in {'/'.join(two[1].key)}"
        yield Violation(Kind.HALF_WRITTEN, "an unanswered batch", detail, (call,))


def _counts(replay: Replay, call: Call, part: Write) -> set[int]:
    numbers = [
        number
        for number, kind in enumerate(replay.kinds)
        if repr((kind.part, kind.calls[0].parts)) == repr((part, call.parts))
    ]
    return {sum(branch.used[number] for number in numbers) for branch in replay.branches}


def _final_keys(replays: Mapping[Key, Replay], call: Call) -> list[Key]:
    return [
        part.key
        for part, answer in zip(call.parts, call.answers, strict=False)
        if isinstance(part, Read) and answer.version == replays[part.key].track.last
    ]


def _always_changes(part: Write) -> bool:
    return all(
        (isinstance(operation, Increment) and operation.by != 0)
        or (isinstance(operation, Append) and bool(operation.values))
        for operation in part.operations
    )
