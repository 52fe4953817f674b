"""Sessions that were deleted, as far as something is left of them, and requests of which nothing but the id is left."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import islice

from flowstate_server.model.clock import Micros
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.resident.damage import Incarnation


class Deleted:
    """``left`` are incarnations that have to be emptied, ``tombstones`` sessions that have been, each with the time of
    its deletion."""

    def __init__(self) -> None:
        self.left: dict[Incarnation, Micros] = {}
        self.tombstones: dict[SessionKey, Micros] = {}
        self._requests: list[tuple[Micros, RequestKey]] = []

    def note(self, session: SessionRecord) -> None:
        self.left[session.key, session.log_id] = session.delete_time

    def replaced(self, session: SessionRecord, time: Micros) -> None:
        """It was made anew at ``time``."""
        if self.tombstones.pop(session.key, None) is None:
            self.left.setdefault((session.key, session.log_id), time)

    def note_request(self, head: RequestHead) -> None:
        heappush(self._requests, (head.end_time, head.key))

    def due_requests(self, before: Micros, limit: int) -> list[RequestKey]:
        due: list[RequestKey] = []
        while len(due) < limit and self._requests and self._requests[0][0] <= before:
            due.append(heappop(self._requests)[1])
        return due

    def due_sessions(self, before: Micros, limit: int) -> list[SessionKey]:
        return [*islice((key for key, time in self.tombstones.items() if time <= before), limit)]
