"""Where the reader of a tail stands, and the frames that bring it forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from operator import attrgetter
from time import monotonic

from flowstate_server.engine.calls.logs import (
    EndReason,
    LogCursor,
    TailCaughtUp,
    TailEnded,
    TailFrame,
    TailHeartbeat,
    TailStarted,
    TailTrimmed,
)
from flowstate_server.engine.logs.log_page import LogPage, ShownPage
from flowstate_server.model.clock import Seconds
from flowstate_server.model.events import EventRecord, LogHead
from flowstate_server.model.scopes import LogKey, RequestKey


class TailProgress:
    """One tail: read up to ``position``, while its reader stands at the cursor of the frame it was given last.

    ``events`` counts those that the reader was given.
    """

    def __init__(self, log: LogKey, log_id: str, position: int, heartbeat: Seconds) -> None:
        self.position = position
        self.events = 0
        self.log_id = log_id
        of_request = isinstance(log, RequestKey)
        self._place_of: Callable[[EventRecord], int] = attrgetter(
            "sequence" if of_request else "session_sequence"
        )
        self._shown = position
        self._gap: tuple[int, int] | None = None
        self._heartbeat = heartbeat
        self._caught_up = False
        self._due = self._next_heartbeat()

    @property
    def patience(self) -> Seconds:
        """Seconds until the reader has to be given a frame, whatever goes on that it does not see."""
        return Seconds(self._due - monotonic())

    def started(self, head: LogHead) -> TailFrame:
        earliest = head.floor + 1 if head.sequence else 0
        return TailStarted(LogCursor(self.log_id, self.position), earliest, head.sequence, self._heartbeat)

    def page(self, page: LogPage, shown: ShownPage) -> Iterator[TailFrame]:
        """The frames for the next page, of which the reader is ``shown`` so much.

        What is missing is told with the next events that it may see, so that it stands directly ahead of them; at the
        end of the log by itself.
        """
        self._gap = _joined(_joined(self._gap, self._trimmed(page)), self._range(shown.unknown))
        self.position = page.end
        events = shown.events
        if self._gap is not None and (events or self.position == page.head.sequence):
            yield TailTrimmed(LogCursor(self.log_id, self._shown), *self._gap)
            self._gap = None
        if events:
            self.events += len(events)
            before = self._shown
            yield shown.batch(self._moved(), before)

    def caught_up(self) -> Iterator[TailFrame]:
        """Once; nothing after that."""
        if not self._caught_up:
            self._caught_up = True
            yield TailCaughtUp(self._moved())

    def heartbeat(self, latest: int) -> TailFrame:
        if self._gap is None:
            return TailHeartbeat(self._moved(), latest)
        self._due = self._next_heartbeat()
        return TailHeartbeat(LogCursor(self.log_id, self._shown), latest)

    def ended(self, reason: EndReason) -> TailFrame:
        return TailEnded(self._moved(), self.position, reason)

    def _trimmed(self, page: LogPage) -> tuple[int, int] | None:
        """The lowest and highest sequence that the page should have and has not: transient events swept earlier."""
        if page.end - self.position == len(page.events):
            return None
        places = [self.position, *map(self._place_of, page.events), page.end + 1]
        gaps = [(before + 1, place - 1) for before, place in pairwise(places) if place > before + 1]
        return gaps[0][0], gaps[-1][1]

    def _range(self, events: Sequence[EventRecord]) -> tuple[int, int] | None:
        return (self._place_of(events[0]), self._place_of(events[-1])) if events else None

    def _moved(self) -> LogCursor:
        self._shown = self.position
        self._due = self._next_heartbeat()
        return LogCursor(self.log_id, self.position)

    def _next_heartbeat(self) -> float:
        return monotonic() + self._heartbeat


def _joined(first: tuple[int, int] | None, second: tuple[int, int] | None) -> tuple[int, int] | None:
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])
