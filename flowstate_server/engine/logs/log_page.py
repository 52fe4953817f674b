"""A page of a log as tails share it."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.engine.calls.logs import LogCursor, TailBatch
from flowstate_server.engine.logs.projection import EventProjector
from flowstate_server.model.events import EventRecord, LogHead
from flowstate_server.stores.contract.reads import EventPage


class LogPage:
    """A page that several tails may have read together. What one of them is shown is made once for all who see as
    much."""

    __slots__ = ("__weakref__", "_page", "_shown", "end", "events", "head")

    def __init__(self, page: EventPage) -> None:
        self._page = page
        self.events: Sequence[EventRecord] = page.events
        self.head: LogHead = page.head
        self.end = page.end
        self._shown: dict[object, ShownPage] = {}

    def shown_by(self, projector: EventProjector) -> ShownPage:
        shown = self._shown.get(projector.sight)
        if shown is None:
            shown = self._shown[projector.sight] = ShownPage(self, projector)
        return shown

    @property
    def cut(self) -> bool:
        """Whether more was there already when it was read."""
        return self.end < self.head.sequence


class ShownPage:
    """``events`` are those to show; of ``unknown`` it can't be told here whether they are to be shown."""

    __slots__ = ("_batches", "_projector", "events", "unknown")

    def __init__(self, page: LogPage, projector: EventProjector) -> None:
        self._projector = projector  # as long as it lives nobody else has its sight
        self.events = projector.visible(page.events)
        self.unknown = projector.unknown(page.events)
        self._batches: dict[int, TailBatch] = {}

    def batch(self, cursor: LogCursor, after: int) -> TailBatch:
        """Its events for a reader who stands at ``after``. ``cursor`` is where the page ends."""
        batch = self._batches.get(after)
        if batch is None:
            batch = self._batches[after] = TailBatch(cursor, self.events, after)
        return batch
