"""What has been kept for long enough: sessions in which nothing happens any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence

from flowstate_server.engine.records.deletions import Deletions
from flowstate_server.model.clock import Micros, micros
from flowstate_server.programs.catalogue import Catalogue
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

_logger = logging.getLogger(__name__)


class Expiry:
    """Walks all sessions again and again, some of them a round, and deletes those of the flows served here in which
    nothing has happened for as long as their flow says.

    The walk needs no index on the time of the last activity, which every commit moves. Several servers may walk at
    once: whether a session is idle is decided in the commit that deletes it.
    """

    def __init__(self, store: Store, catalogue: Catalogue, deletions: Deletions) -> None:
        self._store = store
        self._catalogue = catalogue
        self._deletions = deletions
        self._place: Place | None = None
        self._next_lap = 0.0

    async def round(self) -> None:
        """Go on with the walk, as far as one round goes."""
        if self._place is not None or time.monotonic() >= self._next_lap:
            await self._go_on()

    async def lap(self) -> None:
        """Walk all sessions once."""
        self._place = None
        while await self._go_on():
            pass

    async def _go_on(self) -> bool:
        """Whether the lap goes on after that."""
        now = await self._store.time()
        expired: Counter[str] = Counter()
        for _ in range(PAGES):
            walk = await self._store.walk_sessions(after=self._place, limit=PAGE)
            expired += await self._expire(walk.sessions, now)
            self._place = walk.next
            if self._place is None:
                self._next_lap = time.monotonic() + self._pause()
                break
        for flow_kind, count in expired.items():
            _logger.info("%d sessions of flow %r, idle for their lifetime, are deleted", count, flow_kind)
        return self._place is not None

    def _pause(self) -> float:
        keepings = [flow.described.keeping for flow in self._catalogue]
        lifetimes = [one for keeping in keepings for one in (keeping.ttl, keeping.ephemeral_ttl) if one]
        return min([LONGEST_PAUSE, *(lifetime / PART_OF_LIFETIME for lifetime in lifetimes)])

    async def _expire(self, sessions: Sequence[SessionLife], now: Micros) -> Counter[str]:
        due = [(one, since) for one in sessions if (since := self._idle_since(one, now)) is not None]
        expired: Counter[str] = Counter()
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            done = await asyncio.gather(
                *(self._deletions.delete_idle(one.key, one.log_id, since) for one, since in some)
            )
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
