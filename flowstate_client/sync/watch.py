"""A watch that resumes by itself."""

# Written by .ci/codegen/sync_client.py from flowstate_client/watch.py: `make sync-client`.

from __future__ import annotations

from typing import TypeVar

from flowstate_client import watch as asynchronous
from flowstate_client.snapshots import Snapshot
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.streams import Stream

T = TypeVar("T")


class SnapshotWatch(Stream[Snapshot[T]]):
    """What a flow shows of a session, whole, each time that it has changed, until the session is deleted.

    Use it in ``for``, or in ``with`` where the end of use should not wait for anything. It is level, not
    history: after an outage, and to a slow reader, several changes come as one, and a view that is equal to the one
    before is not repeated. ``active_requests`` and ``read_time`` are of the newest reading of the whole.

    Iterating raises:
        ConnectError: no watch for longer than ``max_outage``; or the first did not begin within
            ``ClientConfig.timeout``.
        ApiError: the server refuses, for example ``SessionNotFound``, or ``InvalidArgument`` for a name that the flow
            does not show.
        ResponseValidationError: the data does not fit the model.
    """

    def __init__(self, thread: LoopThread, snapshot_watch: asynchronous.SnapshotWatch[T]) -> None:
        super().__init__(thread, snapshot_watch)
        self._snapshot_watch = snapshot_watch

    @property
    def session_id(self) -> str:
        return self._snapshot_watch.session_id
