"""The reads that take one query in any database."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import ProcessRecord, RequestHead, RequestRecord, SessionRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.backend import Reads
from flowstate_server.stores.contract.pages import those_understood, understood, understood_one
from flowstate_server.stores.contract.reads import (
    ListedSession,
    OldestTurns,
    Place,
    SessionFilter,
    SessionPosition,
    SessionWalk,
)
from flowstate_server.stores.tables import queries, rows
from flowstate_server.stores.tables.numbers import Row


class TableReads(Reads):
    turns: ClassVar[str]
    """The items of a session's newest turns, in any order: by its key, its ``log_id`` and a number of turns."""

    hint: ClassVar[str] = ""
    """As in :func:`queries.sessions_query`."""

    @abstractmethod
    async def fetch(self, query: str, *values: object) -> list[Row]:
        """What one of the shared ``queries`` finds."""

    async def get_session(self, key: SessionKey) -> SessionRecord | None:
        for row in await self.fetch(queries.SESSION, *key):
            return understood_one(key, row, rows.session_record)
        return None

    async def list_sessions(
        self, which: SessionFilter, *, limit: int, after: SessionPosition | None = None
    ) -> Sequence[ListedSession]:
        listed: list[ListedSession] = []
        while True:
            query, values = queries.sessions_query(which, limit, after, self.hint)
            found = await self.fetch(query, *values)
            listed += those_understood(found, rows.session_key, _listed)
            if len(listed) >= limit or len(found) < limit:
                return listed[:limit]
            after = rows.listed_place(found[-1])

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
