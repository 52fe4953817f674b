"""What becomes of the events of a log when items are removed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from flowstate_server.model.events import EventRecord
from flowstate_server.model.removals import blanked
from flowstate_server.stores.contract.removals import Places

Rewritten = Sequence[tuple[EventRecord, EventRecord | None]]
"""Events, and what becomes of each; ``None``: it goes."""


def rewritten(log: Iterable[EventRecord], places: Places) -> Rewritten:
    """The events at these places of a session's log, as far as they are there."""
    last = max(places)
    found: list[tuple[EventRecord, EventRecord | None]] = []
    for record in takewhile(lambda event: event.session_sequence <= last, log):
        if record.session_sequence in places:
            payload = places[record.session_sequence]
            found.append((record, None if payload is None else blanked(record, payload)))
    return found
