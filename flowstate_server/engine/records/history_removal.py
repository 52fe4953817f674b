"""Removing of a session's history what its flow does not want to be kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import TurnRecord
from flowstate_server.model.removals import decode_removals, removals_key
from flowstate_server.model.scopes import RequestKey
from flowstate_server.programs.keeping import Retention
from flowstate_server.stores.contract.deletion_writes import RemoveHistory
from flowstate_server.stores.contract.reads import OldestTurns, SessionLife
from flowstate_server.stores.store import Store

# Requests of one commit, which takes all that they have along; turns that are known of at once; events of one read.
REQUESTS = 20
TURNS = 100
EVENTS = 100
EVENT_BYTES = 256 * 1024


class HistoryRemoval:
    """Goes through a session's log from its floor on, for as long as what it meets is to go: turns beyond the newest
    ``max_turns``, and what is older than ``max_age``. A request goes at its end, with all it had.

    Several servers may do so at once: each commit names what its part was planned on, and one that another server was
    faster than changes nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def remove(self, session: SessionLife, rule: Retention, now: Micros) -> int:
        """Remove all that is due, the oldest first; how many requests that were. Once others remove something of the
        session as well, the rest is left to them or to the next time."""
        floor = session.head.floor
        removed = 0
        while parts := await self._plan(session, floor, rule, now):
            for part in parts:
                if not (await self._store.commit((part,))).results[0].changed:
                    return removed
                removed += len(part.requests)
                floor = part.place
        return removed

    async def _plan(
        self, session: SessionLife, floor: int, rule: Retention, now: Micros
    ) -> Sequence[RemoveHistory]:
        key, log_id = session.key, session.log_id
        before = Micros(0 if rule.seconds is None else now - micros(rule.seconds))
        # Ahead of the turns: a removal of items that comes meanwhile, and may take a turn along, is noticed by it.
        removals = None if rule.max_turns is None else await self._removals(session)
        oldest = await self._store.read_oldest_turns(key, log_id, limit=TURNS)
        walk = _Walk(oldest, rule.max_turns, before, floor)
        after = floor
        # No further: what came later may have turns that are not known of here.
        while not walk.over and after < session.head.sequence:
            page = await self._store.read_events(key, after=after, limit=EVENTS, max_bytes=EVENT_BYTES)
            if page is None or page.head.log_id != log_id or page.head.ended or page.head.floor != floor:
                return []
            walk.take(event for event in page.events if event.session_sequence <= session.head.sequence)
            after = page.end
        parts: list[RemoveHistory] = []
        for place, requests, turns in walk.parts():
            keys = tuple([RequestKey(key.tenant, request_id) for request_id in requests])
            rows = tuple([turn.key for turn in turns])
            parts.append(RemoveHistory(key, log_id, floor, place, keys, rows, removals))
            floor = place
        return parts

    async def _removals(self, session: SessionLife) -> int:
        counter = removals_key(session.key, session.log_id)
        return decode_removals((await self._store.load_documents((counter,))).get(counter))


class _Walk:
    """What goes with the part of a log up to ``place``.

    Beyond the newest turns nothing goes but up to the end of a turn that is one too many and that the walk has met: if
    another server has removed it meanwhile, all that follows stays.
    """

    def __init__(self, oldest: OldestTurns, max_turns: int | None, before: Micros, floor: int) -> None:
        excess = 0 if max_turns is None else max(0, oldest.count - max_turns)
        due = oldest.turns[:excess]
        self.place = floor
        self.over = False
        self._floor = floor
        self._ends: dict[str, int] = {}
        self._oldest = oldest
        self._before = before
        self._due = {turn.request_id for turn in due if turn.request_id}
        self._due_until = max((turn.last for turn in due), default=0)

    def take(self, events: Iterator[EventRecord]) -> None:
        for event in events:
            if self._stays(event):
                self.over = True
                return
            ends, place = event.event.type.terminal, event.session_sequence
            if ends:
                self._ends[event.request_id] = place
            if self._is_due(event) and (ends or not (event.request_id or event.event.transient)):
                self.place = place
            self._due.discard(event.request_id if ends else "")
            if (self.place == place and len(self._ends) >= REQUESTS) or self._at_last_known_turn(event):
                self.over = True
                return

    def parts(self) -> Iterator[tuple[int, Sequence[str], Sequence[TurnRecord]]]:
        """Commit by commit, the oldest first: up to which place, requests that have ended there, and turns."""
        going = [request_id for request_id, end in self._ends.items() if end <= self.place]
        floor = self._floor
        while floor < self.place:
            requests, going = going[:REQUESTS], going[REQUESTS:]
            place = self._ends[requests[-1]] if going else self.place
            yield place, requests, [turn for turn in self._oldest.turns if floor < self._end(turn) <= place]
            floor = place

    def _end(self, turn: TurnRecord) -> int:
        return self._ends.get(turn.request_id, 0) if turn.request_id else turn.last

    def _is_due(self, event: EventRecord) -> bool:
        if event.time < self._before or event.session_sequence <= self._due_until:
            return True
        return event.event.type.terminal and event.request_id in self._due

    def _stays(self, event: EventRecord) -> bool:
        return event.time >= self._before and not self._due and event.session_sequence > self._due_until

    def _at_last_known_turn(self, event: EventRecord) -> bool:
        """Behind it there may be turns that were not read."""
        if not self._oldest.turns or self._oldest.count == len(self._oldest.turns):
            return False
        last = self._oldest.turns[-1]
        if last.request_id:
            return last.request_id in self._ends
        return event.session_sequence >= last.last
