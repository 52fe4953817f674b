"""The logs: events by request and by session."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from operator import attrgetter

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.tables import Cut
from flowstate_server.stores.resident.damage import Damage, Incarnation
from flowstate_server.stores.resident.event_rows import remove_places, up_to_damage
from flowstate_server.stores.resident.removals import Rewritten

_sequence = attrgetter("sequence")
_session_sequence = attrgetter("session_sequence")


class EventLogs:
    """Each event is in its session's log, and one of a request in that as well."""

    def __init__(self, damage: Damage) -> None:
        self.damage = damage
        self._request_events: dict[RequestKey, list[EventRecord]] = {}
        self._session_events: dict[Incarnation, list[EventRecord]] = {}
        self._with_transient: set[RequestKey] = set()
        self._sweepable: list[tuple[Micros, SessionKey, str, str, int]] = []

    def events_after(self, request: RequestKey, after: int) -> Iterator[EventRecord]:
        self.damage.check_events(request)
        events = self._request_events.get(request, [])
        return (
            events[position] for position in range(bisect_right(events, after, key=_sequence), len(events))
        )

    def session_events_after(self, session: SessionKey, log_id: str, after: int) -> Iterator[EventRecord]:
        """The events, up to one that is damaged: whoever comes to it gets ``DamagedRecord``."""
        log = self._session_events.get((session, log_id), [])
        found = islice(log, bisect_right(log, after, key=_session_sequence), None)
        damaged = self.damage.lines.get((session, log_id))
        return found if damaged is None else up_to_damage(found, damaged, session, after)

    def session_log(self, session: SessionKey, log_id: str) -> Sequence[EventRecord]:
        """All events that are understood, by ``session_sequence``."""
        return self._session_events.get((session, log_id), [])

    def request_log(self, request: RequestKey) -> Sequence[EventRecord]:
        """The same of a request."""
        return self._request_events.get(request, [])

    def cut_events(self, cut: Cut) -> set[int]:
        """The places of the events that go with the cut."""
        requests = {key.request_id for key in cut.requests}
        log = self._session_events.get((cut.session, cut.log_id), [])
        oldest = islice(log, bisect_right(log, cut.place, key=_session_sequence))
        return {one.session_sequence for one in oldest if not one.request_id or one.request_id in requests}

    def _cut_off(self, cut: Cut) -> None:
        if gone := self.cut_events(cut):
            remove_places(self._session_events[cut.session, cut.log_id], gone, _session_sequence)

    def _append(self, record: EventRecord) -> None:
        incarnation = (record.session, record.session_log_id)
        self._session_events.setdefault(incarnation, []).append(record)
        if not record.request_id:
            if record.event.transient:
                heappush(self._sweepable, (record.time, *incarnation, "", record.session_sequence))
            return
        key = RequestKey(record.session.tenant, record.request_id)
        if record.event.transient:
            self._with_transient.add(key)
        self._request_events.setdefault(key, []).append(record)

    def _rewrite(self, events: Rewritten) -> None:
        for _, after in events:
            if after is not None:
                log = self._session_events[after.session, after.session_log_id]
                log[bisect_left(log, after.session_sequence, key=_session_sequence)] = after
                if after.request_id:
                    log = self._request_events[RequestKey(after.session.tenant, after.request_id)]
                    log[bisect_left(log, after.sequence, key=_sequence)] = after
        self.remove_events([before for before, after in events if after is None])

    def remove_events(self, events: Iterable[EventRecord]) -> None:
        of_requests: dict[RequestKey, set[int]] = {}
        of_sessions: dict[Incarnation, set[int]] = {}
        for event in events:
            if event.request_id:
                key = RequestKey(event.session.tenant, event.request_id)
                of_requests.setdefault(key, set()).add(event.sequence)
            incarnation = (event.session, event.session_log_id)
            of_sessions.setdefault(incarnation, set()).add(event.session_sequence)
        for key, gone in of_requests.items():
            remove_places(self._request_events[key], gone, _sequence)
        for incarnation, gone in of_sessions.items():
            remove_places(self._session_events[incarnation], gone, _session_sequence)

    def sweepable(self, before: Micros, limit: int) -> list[EventRecord]:
        """Up to ``limit`` transient events whose retention is over."""
        due = []
        found: list[EventRecord] = []
        while len(found) < limit and self._sweepable and self._sweepable[0][0] <= before:
            place = heappop(self._sweepable)
            events = [event for event in self._events_at(*place) if event.event.transient]
            if events:
                due.append(place)
                found += events
        for place in due:
            heappush(self._sweepable, place)
        return found[:limit]

    def _events_at(
        self, _: Micros, session: SessionKey, log_id: str, request_id: str, sequence: int
    ) -> Iterable[EventRecord]:
        if request_id:
            return self._request_events.get(RequestKey(session.tenant, request_id), ())
        log = self._session_events.get((session, log_id), [])
        place = bisect_left(log, sequence, key=_session_sequence)
        return [event for event in log[place : place + 1] if event.session_sequence == sequence]
