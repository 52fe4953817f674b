"""The reads that take one query in any database."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from flowstate_server.model.clock import Micros
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import (
    ProcessRecord,
    RequestHead,
    RequestRecord,
    SessionRecord,
    TurnRecord,
)
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.backend import Reads
from flowstate_server.stores.contract.pages import those_understood, understood, understood_one
from flowstate_server.stores.contract.reads import (
    ListedSession,
    ListedSessions,
    OldestTurns,
    Place,
    SessionFilter,
    SessionPosition,
    SessionWalk,
)
from flowstate_server.stores.tables import queries, rows
from flowstate_server.stores.tables.numbers import Row
from flowstate_server.stores.tables.session_queries import (
    Bound,
    SessionQueries,
    leads,
    meets_others,
    shortest,
)

FAR = 2**62
"""Beyond every number of a turn, index and ``session_sequence``."""


class TableReads(Reads):
    turns: ClassVar[str]
    """The items of a session's newest turns, in any order: by its key, its ``log_id`` and a number of turns."""

    lists: ClassVar[SessionQueries]

    @abstractmethod
    async def fetch(self, query: str, *values: object) -> list[Row]:
        """What one of the shared ``queries`` finds."""

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        for row in await self.fetch(queries.SESSION, *key):
            return understood_one(key, row, rows.session_record)
        return None

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> ListedSessions:
        found = leads(which)
        bound = Bound(found[0], 1, Micros(0))
        if meets_others(which, found):
            query, values = self.lists.probe(which, found, after)
            bound = shortest(found, await self.fetch(query, *values))
            if not bound.rows:
                return ListedSessions((), None)
        query, values = self.lists.page(which, bound, limit + 1, after)
        listed = await self.fetch(query, *values)
        rest = SessionPosition(bound.floor, "") if bound.floor else None
        if len(listed) > limit:
            rest = rows.listed_place(listed[limit - 1])
        return ListedSessions([*those_understood(listed[:limit], rows.session_key, _listed)], rest)

    async def count_sessions(self, which: SessionFilter) -> int:
        found = leads(which)
        lead = found[0]
        if len(found) > 1:
            query, values = self.lists.probe(which, found, None)
            lead = shortest(found, await self.fetch(query, *values)).lead
        query, values = self.lists.count(which, lead)
        return sum([count for (count,) in await self.fetch(query, *values)])

    async def walk_sessions(self, *, after: Place | None, limit: int) -> SessionWalk:
        found = await self.fetch(queries.WALK, *(after or ("", "")), limit)
        return SessionWalk(
            [*those_understood(found, rows.session_key, rows.session_life)],
            None if len(found) < limit else rows.session_key(found[-1]),
        )

    async def get_request(self, key: RequestKey) -> RequestRecord | None:
        for row in await self.fetch(queries.REQUEST, *key):
            return understood_one(key, row, rows.request_record)
        return None

    async def get_removed_request(self, key: RequestKey) -> RequestRecord | None:
        for row in await self.fetch(queries.REMOVED_REQUEST, *key):
            return understood_one(key, row, rows.request_record)
        return None

    async def read_oldest_turns(self, session: SessionKey, log_id: str, *, limit: int) -> OldestTurns:
        found = await self.fetch(queries.OLDEST_TURNS, *session, log_id, limit)
        turns = [rows.turn_record(row[:-1], session, log_id) for row in found]
        return OldestTurns(tuple(turns), found[0][-1] if found else 0)

    async def read_turns(self, session: SessionKey, log_id: str, *, newest: int) -> Sequence[ItemRecord]:
        if newest < 1:
            return []
        found = await self.fetch(self.turns, *session, log_id, newest)
        found.sort(key=rows.turn_order)
        return [
            *understood(
                found, lambda row: (*session, row[0]), lambda row: rows.item_record(row, session, log_id)
            )
        ]

    async def newest_turns(self, session: SessionKey, log_id: str, *, newest: int) -> tuple[int, int] | None:
        if newest < 1:
            return None
        [(first, last)] = await self.fetch(queries.NEWEST_TURNS, *session, log_id, newest)
        return None if first is None else (first, last)

    async def list_turns(
        self, session: SessionKey, log_id: str, *, limit: int, before: int | None = None
    ) -> Sequence[TurnRecord]:
        bound = FAR if before is None else before
        found = await self.fetch(queries.TURNS_BEFORE, *session, log_id, bound, limit)
        return [rows.turn_record(row, session, log_id) for row in found]

    async def read_processes(self) -> Sequence[ProcessRecord]:
        return [rows.process_record(row) for row in await self.fetch(queries.PROCESSES)]

    async def read_running(self, process: str, *, limit: int) -> Sequence[RequestRecord]:
        found = await self.fetch(queries.RUNNING, process, limit)
        return [*those_understood(found, rows.request_key, rows.request_record)]

    async def read_cancelled(self, process: str) -> Sequence[RequestHead]:
        found = await self.fetch(queries.CANCELLED, process)
        return [*those_understood(found, rows.request_key, rows.request_head)]


def _listed(row: Row) -> ListedSession:
    return ListedSession(rows.session_record(row[:-1]), row[-1])
