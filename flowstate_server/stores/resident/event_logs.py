"""The logs: the events of each request, and those outside of requests."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush, merge
from itertools import islice
from operator import attrgetter

from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.removals import Places
from flowstate_server.stores.contract.tables import Cut
from flowstate_server.stores.resident.damage import Damage, Incarnation, up_to_damage
from flowstate_server.stores.resident.removals import Rewritten, rewritten

_sequence = attrgetter("sequence")
_session_sequence = attrgetter("session_sequence")


class EventLogs:
    def __init__(self, damage: Damage) -> None:
        self.damage = damage
        self._request_events: dict[RequestKey, list[EventRecord]] = {}
        self._session_events: dict[Incarnation, dict[int, EventRecord]] = {}
        self._logs: dict[Incarnation, dict[RequestKey, None]] = {}
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
        found = self.session_log(session, log_id, after)
        damaged = self.damage.lines.get((session, log_id))
        return found if damaged is None else up_to_damage(found, damaged, session, after)

    def session_log(
        self, session: SessionKey, log_id: str, beyond: int, *, newest_first: bool = False
    ) -> Iterator[EventRecord]:
        """The events that are understood, from beyond a place, in either order."""
        requests = self._logs.get((session, log_id), ())
        outside = [*self._session_events.get((session, log_id), {}).values()]
        logs = [outside, *(self._request_events.get(key, []) for key in requests)]
        key = _session_sequence
        rests: Iterable[Iterable[EventRecord]]
        if newest_first:
            rests = [reversed(log[: bisect_left(log, beyond, key=key)]) for log in logs if log]
        else:
            # Of a session's many logs most have ended long before the place where a tail stands.
            live = [log for log in logs if log and key(log[-1]) > beyond]
            rests = [islice(log, bisect_right(log, beyond, key=key), None) for log in live]
        return merge(*rests, key=key, reverse=newest_first)

    def request_log(self, request: RequestKey) -> Sequence[EventRecord]:
        """The events of a request that are understood."""
        return self._request_events.get(request, ())

    def rewritten(self, incarnation: Incarnation, places: Places) -> Rewritten:
        """The events at these places, and what becomes of each."""
        return rewritten(self.session_log(*incarnation, min(places) - 1), places)

    def cut_events(self, cut: Cut) -> set[int]:
        """The places of the events that go with the cut."""
        events = [event for key in cut.requests for event in self._request_events.get(key, ())]
        return {event.session_sequence for event in events} | {*self._outside(cut)}

    def drop_log(self, incarnation: Incarnation) -> None:
        """Forget all events of the log."""
        self._session_events.pop(incarnation, None)
        for key in self._logs.get(incarnation, ()):
            self._request_events.pop(key, None)

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

    def remove_events(self, events: Iterable[EventRecord]) -> None:
        gone: dict[RequestKey, set[int]] = {}
        for event in events:
            if event.request_id:
                gone.setdefault(RequestKey(event.session.tenant, event.request_id), set()).add(event.sequence)
            else:
                del self._session_events[event.session, event.session_log_id][event.session_sequence]
        for key, sequences in gone.items():
            kept = self._request_events[key]
            self._request_events[key] = [event for event in kept if event.sequence not in sequences]

    def _append(self, record: EventRecord) -> None:
        incarnation = (record.session, record.session_log_id)
        if not record.request_id:
            self._session_events.setdefault(incarnation, {})[record.session_sequence] = record
            if record.event.transient:
                heappush(self._sweepable, (record.time, *incarnation, "", record.session_sequence))
            return
        key = RequestKey(record.session.tenant, record.request_id)
        if record.event.transient:
            self._with_transient.add(key)
        self._request_events.setdefault(key, []).append(record)
        self._logs.setdefault(incarnation, {})[key] = None

    def _rewrite(self, events: Rewritten) -> None:
        for _, after in events:
            if after is not None and after.request_id:
                log = self._request_events[RequestKey(after.session.tenant, after.request_id)]
                log[bisect_left(log, after.sequence, key=_sequence)] = after
            elif after is not None:
                self._session_events[after.session, after.session_log_id][after.session_sequence] = after
        self.remove_events([before for before, after in events if after is None])

    def _cut_off(self, cut: Cut) -> None:
        """Of events outside of requests. Those of a request go with it."""
        for sequence in [*self._outside(cut)]:
            del self._session_events[cut.session, cut.log_id][sequence]

    def _outside(self, cut: Cut) -> Iterator[int]:
        places = self._session_events.get((cut.session, cut.log_id), {})
        return (place for place in places if place <= cut.place)

    def _events_at(
        self, _: Micros, session: SessionKey, log_id: str, request_id: str, sequence: int
    ) -> Iterable[EventRecord]:
        if request_id:
            return self._request_events.get(RequestKey(session.tenant, request_id), ())
        event = self._session_events.get((session, log_id), {}).get(sequence)
        return () if event is None else (event,)
