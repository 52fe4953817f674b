"""Removing of a session's history what its flow does not want to be kept."""

from __future__ import annotations

from collections.abc import Iterator

from flowstate_server.model.clock import Micros, micros
from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import TurnRecord
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
    ``max_turns``, and what is older than ``max_age``. A request goes at its end, with all it had."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def remove(self, session: SessionLife, rule: Retention, now: Micros) -> int:
        """Remove all that is due, the oldest first; how many requests that were."""
        floor = session.head.floor
        removed = 0
        while True:
            part = await self._part(session, floor, rule, now)
            if part is None or not (await self._store.commit((part,))).results[0].changed:
                return removed
            removed += len(part.requests)
            floor = part.place

    async def _part(
        self, session: SessionLife, floor: int, rule: Retention, now: Micros
    ) -> RemoveHistory | None:
        key, log_id = session.key, session.log_id
        before = Micros(0 if rule.seconds is None else now - micros(rule.seconds))
        oldest = await self._store.read_oldest_turns(key, log_id, limit=TURNS)
        walk = _Walk(oldest, rule.max_turns, before, floor)
        after = floor
        while not walk.over:
            page = await self._store.read_events(key, after=after, limit=EVENTS, max_bytes=EVENT_BYTES)
            if page is None or page.head.log_id != log_id or page.head.ended:
                return None
            walk.take(iter(page.events))
            after = page.end
            if after >= page.head.sequence:
                break
        if walk.place == floor:
            return None
        requests = tuple([RequestKey(key.tenant, request_id) for request_id in walk.requests])
        turns = tuple([turn.key for turn in walk.turns()])
        return RemoveHistory(key, log_id, walk.place, requests, turns)


class _Walk:
    """What goes with the part of a log up to ``place``: ``requests`` have ended there."""

    def __init__(self, oldest: OldestTurns, max_turns: int | None, before: Micros, floor: int) -> None:
        excess = 0 if max_turns is None else max(0, oldest.count - max_turns)
        due = oldest.turns[:excess]
        self.place = floor
        self.requests: dict[str, None] = {}
        self.over = False
        self._oldest = oldest
        self._before = before
        self._due = {turn.request_id for turn in due if turn.request_id}
        self._due_until = max((turn.last for turn in due), default=0)

    def take(self, events: Iterator[EventRecord]) -> None:
        for event in events:
            if self._stays(event):
                self.over = True
                return
            if event.event.type.terminal:
                self.requests[event.request_id] = None
                self._due.discard(event.request_id)
                self.place = event.session_sequence
            elif not event.request_id and not event.event.transient:
                self.place = event.session_sequence
            if len(self.requests) >= REQUESTS or self._at_last_known_turn(event):
                self.over = True
                return

    def turns(self) -> list[TurnRecord]:
        """Those that end up to ``place``."""
        return [
            turn
            for turn in self._oldest.turns
            if (turn.request_id in self.requests if turn.request_id else turn.last <= self.place)
        ]

    def _stays(self, event: EventRecord) -> bool:
        return event.time >= self._before and not self._due and event.session_sequence > self._due_until

    def _at_last_known_turn(self, event: EventRecord) -> bool:
        """Behind it there may be turns that were not read."""
        if not self._oldest.turns or self._oldest.count == len(self._oldest.turns):
            return False
        last = self._oldest.turns[-1]
        if last.request_id:
            return last.request_id in self.requests
        return event.session_sequence >= last.last
