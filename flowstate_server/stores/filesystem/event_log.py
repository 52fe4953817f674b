"""Where the events of one incarnation of a session are in its log, and which of them are a request's."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.filesystem.documents import Document, line
from flowstate_server.stores.filesystem.names import log_path

Span = tuple[int, int]


class EventLog:
    """``places`` are the session sequences of the log's events, in order; ``end`` is the length of its file."""

    def __init__(self, session: SessionKey, log_id: str) -> None:
        self.session = session
        self.log_id = log_id
        self.path = log_path(session, log_id)
        self.places = array("q")
        self.end = 0
        self.swept = 0  # the newest event that a sweep took
        self.holes = 0  # damaged lines, each in a place that no other event has
        self._offsets = array("q")

    @property
    def header(self) -> bytes:
        """The first line: which log this is, for file names may be cut."""
        session = self.session
        members = {"tenant": session.tenant, "session_id": session.session_id, "log_id": self.log_id}
        return line(members | ({"swept": self.swept} if self.swept else {}))

    def begin(self, header: int) -> None:
        """After the first line, of ``header`` bytes."""
        self.end = header

    def add_hole(self, size: int) -> None:
        """A committed event whose line can't be understood; which place it had is a guess."""
        self.add(self.places[-1] + 1 if self.places else 1, size)
        self.holes += 1

    def add(self, place: int, size: int) -> None:
        self.places.append(place)
        self._offsets.append(self.end)
        self.end += size

    def spans(self, places: Iterable[int]) -> Iterator[Span]:
        """From which offset up to which the line of each event is."""
        for place in places:
            yield self._span(bisect_left(self.places, place))

    def spans_without(self, places: Collection[int]) -> Iterator[tuple[int, Span]]:
        """The place and the span of every other event."""
        for position, place in enumerate(self.places):
            if place not in places:
                yield place, self._span(position)

    def _span(self, position: int) -> Span:
        end = self._offsets[position + 1] if position + 1 < len(self._offsets) else self.end
        return self._offsets[position], end


@frozen
class EventPlace:
    """What is known of an event without reading its line, which has ``size`` bytes."""

    session_sequence: int
    request_id: str
    sequence: int
    time: Micros
    transient: bool
    has_item: bool
    size: int


def place_of(record: EventRecord, size: int) -> EventPlace:
    return EventPlace(
        record.session_sequence,
        record.request_id,
        record.sequence,
        record.time,
        record.event.transient,
        record.event.type is EventType.ITEM_DONE and record.event.item is not None,
        size,
    )


def written_place(found: Document, size: int) -> EventPlace:
    """The same from the event's line."""
    return EventPlace(
        found["session_sequence"],
        found.get("request_id", ""),
        found.get("sequence", 0),
        found["time"],
        found.get("transient", False),
        found["type"] == EventType.ITEM_DONE and found.get("item", None) is not None,
        size,
    )


@dataclass(slots=True)
class Places:
    """Session sequences of the events of a request: all of them, those with an item, those that are transient.

    ``sequences`` are the same events' places in the request's own log.
    """

    all: array[int] = field(default_factory=lambda: array("q"))
    sequences: array[int] = field(default_factory=lambda: array("q"))
    items: array[int] = field(default_factory=lambda: array("q"))
    transient: array[int] = field(default_factory=lambda: array("q"))

    def add(self, event: EventPlace) -> None:
        self.all.append(event.session_sequence)
        self.sequences.append(event.sequence)
        if event.has_item:
            self.items.append(event.session_sequence)
        if event.transient:
            self.transient.append(event.session_sequence)

    def forget(self, places: Collection[int]) -> None:
        kept = [pair for pair in zip(self.all, self.sequences, strict=True) if pair[0] not in places]
        self.all = array("q", (place for place, _ in kept))
        self.sequences = array("q", (sequence for _, sequence in kept))
        self.items = array("q", (place for place in self.items if place not in places))
        self.transient = array("q", (place for place in self.transient if place not in places))
