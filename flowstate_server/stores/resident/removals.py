"""What becomes of the events of a log when items are removed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from flowstate_server.model.events import EventRecord
from flowstate_server.model.removals import blanked
from flowstate_server.stores.contract.removals import Places

_sequence = attrgetter("session_sequence")

Rewritten = Sequence[tuple[EventRecord, EventRecord | None]]
"""Events, and what becomes of each; ``None``: it goes."""


def rewritten(log: Sequence[EventRecord], places: Places) -> Rewritten:
    """The events at these places of a session's log, as far as they are there."""
    found: list[tuple[EventRecord, EventRecord | None]] = []
    for sequence, payload in places.items():
        place = bisect_left(log, sequence, key=_sequence)
        if place < len(log) and log[place].session_sequence == sequence:
            record = log[place]
            found.append((record, None if payload is None else blanked(record, payload)))
    return found
