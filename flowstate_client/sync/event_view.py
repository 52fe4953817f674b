"""The events of a run together with what its flow shows: all that a screen needs."""

# Written by .ci/codegen/sync_client.py from flowstate_client/event_view.py: `make sync-client`.

from __future__ import annotations

from typing import TypeVar

from flowstate_client import event_view as asynchronous
from flowstate_client.event_view import Moment
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.streams import Stream

T = TypeVar("T")


class EventsWithView(Stream[Moment[T]]):
    """Each event of a run with what the flow shows of its session; made by ``EventStream.with_view``.

    The view is read ahead of the first event, again with an event that says that something shown has changed since it
    was read, and when the run ends. One reading covers all events up to it, so a replay and a burst cost one. Changes
    of a user's or an org's record that another session makes meanwhile show with the next reading; to see all of them
    at once, watch the session (``client.sessions.watch``).

    Iterating raises what the stream and ``client.sessions.snapshot`` raise; an outage is waited for as by the stream.
    """

    def __init__(self, thread: LoopThread, events_with_view: asynchronous.EventsWithView[T]) -> None:
        super().__init__(thread, events_with_view)
        self._events_with_view = events_with_view
