"""What has been kept for long enough: sessions in which nothing happens any more, and the oldest history of others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence

from flowstate_server.engine.records.deletions import Deletions
from flowstate_server.engine.records.history_removal import HistoryRemoval
from flowstate_server.model.clock import Micros, Seconds, micros
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.keeping import Keeping, Retention
from flowstate_server.stores.contract.reads import Place, SessionLife
from flowstate_server.stores.store import Store

# Sessions looked at by one read, and reads of one round: a hundred thousand sessions are looked through in two minutes,
# at the price of some milliseconds every few seconds.
PAGE = 500
PAGES = 10
# Sessions deleted at once: the store groups them into few transactions, and calls go on in between. Chosen.
AT_ONCE = 50
# A lap takes at least so long a part of the shortest lifetime, and no longer than an hour: whoever keeps sessions for a
# week needs no more than that.
PART_OF_LIFETIME = 20
LONGEST_PAUSE = 3600.0
# Where a flow counts turns the walk begins anew after so long, in seconds, and looks at sessions in which something has
# happened since the last one.
COUNTING_PAUSE = 60.0

_logger = logging.getLogger(__name__)


class Expiry:
    """Walks all sessions again and again, some of them a round, and deletes those of the flows served here in which
    nothing has happened for as long as their flow says; of the others what their flow does not keep.

    The walk needs no index on the time of the last activity, which every commit moves. Several servers may walk at
    once: whether a session is idle is decided in the commit that deletes it.
    """

    def __init__(self, store: Store, catalogue: Catalogue, deletions: Deletions) -> None:
        self._store = store
        self._catalogue = catalogue
        self._deletions = deletions
        self._history = HistoryRemoval(store)
        self._place: Place | None = None
        self._next_lap = 0.0
        self._began = self._began_before = Micros(0)
        self._next_ages = 0.0
        self._judges_ages = True

    async def round(self) -> None:
        """Go on with the walk, as far as one round goes."""
        if self._place is not None or time.monotonic() >= self._next_lap:
            await self._go_on()

    async def lap(self) -> None:
        """Walk all sessions once, and judge all of them."""
        self._place, self._began, self._next_ages = None, Micros(0), 0.0
        while await self._go_on():
            pass

    async def _go_on(self) -> bool:
        """Whether the lap goes on after that."""
        now = await self._store.time()
        if self._place is None:
            self._begin(now)
        removed: Counter[str] = Counter()
        expired: Counter[str] = Counter()
        for _ in range(PAGES):
            walk = await self._store.walk_sessions(after=self._place, limit=PAGE)
            expired += await self._expire(walk.sessions, now)
            removed += await self._remove_history(walk.sessions, now)
            self._place = walk.next
            if self._place is None:
                self._next_lap = time.monotonic() + self._pause()
                break
        for flow_kind, count in removed.items():
            _logger.info("%d requests of flow %r, beyond its retention, are removed", count, flow_kind)
        for flow_kind, count in expired.items():
            _logger.info("%d sessions of flow %r, idle for their lifetime, are deleted", count, flow_kind)
        return self._place is not None

    def _begin(self, now: Micros) -> None:
        """Begin a lap."""
        self._began_before, self._began = self._began, now
        self._judges_ages = time.monotonic() >= self._next_ages
        if self._judges_ages:
            ages = [keeping.retention.seconds for keeping in self._keepings() if keeping.retention]
            self._next_ages = time.monotonic() + _part_of(ages)

    def _keepings(self) -> list[Keeping]:
        return [flow.described.keeping for flow in self._catalogue]

    def _pause(self) -> float:
        keepings = self._keepings()
        pause = _part_of([one for keeping in keepings for one in (keeping.ttl, keeping.ephemeral_ttl)])
        rules = [keeping.retention for keeping in keepings if keeping.retention is not None]
        if any(rule.max_turns for rule in rules):
            pause = min(pause, COUNTING_PAUSE)
        return min(pause, _part_of([rule.seconds for rule in rules]))

    async def _remove_history(self, sessions: Sequence[SessionLife], now: Micros) -> Counter[str]:
        removed: Counter[str] = Counter()
        for session in sessions:
            flow = self._catalogue.find(session.flow_kind)
            rule = None if flow is None else flow.described.keeping.retention
            if rule is not None and self._may_hold_too_much(session, rule):
                removed[session.flow_kind] += await self._history.remove(session, rule, now)
        return +removed

    def _may_hold_too_much(self, session: SessionLife, rule: Retention) -> bool:
        head = session.head
        if head.sequence == head.floor:
            return False
        counts = rule.max_turns is not None and head.turns > rule.max_turns
        return (counts and head.activity_time >= self._began_before) or (
            rule.seconds is not None and self._judges_ages
        )

    async def _expire(self, sessions: Sequence[SessionLife], now: Micros) -> Counter[str]:
        due = [(one, since) for one in sessions if (since := self._idle_since(one, now)) is not None]
        expired: Counter[str] = Counter()
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            done = await asyncio.gather(*(self._deletions.delete_idle(one, since) for one, since in some))
            expired.update(one.flow_kind for (one, _), deleted in zip(some, done, strict=True) if deleted)
        return expired

    def _idle_since(self, session: SessionLife, now: Micros) -> Micros | None:
        """The time since which nothing has happened in the session, if it is over for that."""
        flow = self._catalogue.find(session.flow_kind)
        lifetime = None if flow is None else flow.described.keeping.lifetime(ephemeral=session.ephemeral)
        if lifetime is None:
            return None
        since = Micros(now - micros(lifetime))
        return since if session.head.activity_time <= since else None


def _part_of(durations: Sequence[Seconds | None]) -> float:
    """Seconds between two looks at what is kept so long."""
    return min([LONGEST_PAUSE, *(duration / PART_OF_LIFETIME for duration in durations if duration)])
