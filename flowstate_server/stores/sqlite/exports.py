"""All that the database keeps, in pages by key: one description for each table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from flowstate_server.model.documents import encode_key
from flowstate_server.model.events import EventKey, EventRecord
from flowstate_server.model.records import SessionHead, TurnKey, TurnRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import page_of, understood
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    PROCESSES,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)
from flowstate_server.stores.sqlite.places import EVENT_SEQUENCE, start_of
from flowstate_server.stores.sqlite.reader import Reader
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import ITEM_DONE, Row, scope_key, state_key

Key = TypeVar("Key")
Record = TypeVar("Record")


class Description(NamedTuple):
    """``query`` gives the records beyond the values of a key, which ``start`` are before the first one, and ``values``
    of a given one."""

    query: str
    start: Row
    values: Callable[[Any], Row]
    key_of: Callable[[Row], Any]
    record_of: Callable[[Row], Any]


# Of what belongs to a session, a page begins within that of the key and goes on with the sessions after it.
_SESSIONS = "FROM sessions s INDEXED BY sessions_by_id"
_FROM_SESSION = "WHERE s.replaced = 0 AND (s.tenant, s.session_id) >= (?1, ?2)"
_WITHIN_SESSION = "CASE WHEN s.tenant = ?1 AND s.session_id = ?2 THEN ?3 ELSE 0 END"
_BEYOND_SESSION = (
    "WHERE s.replaced = 0 AND (s.tenant, s.session_id) > (?, ?) ORDER BY s.tenant, s.session_id LIMIT ?"
)

EVENT_QUERY = (
    f"SELECT s.tenant, s.session_id, s.log_id, r.request_id, {EVENT_SEQUENCE}, {rows.EVENT}, {rows.ITEM}"
    f" {_SESSIONS} CROSS JOIN events e LEFT JOIN requests r ON r.request = e.request"
    f" LEFT JOIN items i ON e.type = {ITEM_DONE} AND i.place = e.place {_FROM_SESSION}"
    f" AND e.place > {start_of('s.log')} + {_WITHIN_SESSION} AND e.place < {start_of('(s.log + 1)')}"
    " ORDER BY s.tenant, s.session_id, e.place LIMIT ?4"
)
TURN_QUERY = (
    f"SELECT s.tenant, s.session_id, s.log_id, {rows.TURN} {_SESSIONS} CROSS JOIN turns u ON u.log = s.log"
    f" LEFT JOIN requests r ON r.request = u.request {_FROM_SESSION} AND u.number > {_WITHIN_SESSION}"
    " ORDER BY s.tenant, s.session_id, u.number LIMIT ?4"
)


def _session_key(row: Row) -> SessionKey:
    return SessionKey(*row[:2])


def _session_head(row: Row) -> SessionHead:
    return rows.session_head(_session_key(row), row[2], row[3:])


def _event(row: Row) -> EventRecord:
    return rows.event_record(row[4:], _session_key(row), row[2], row[3] or "")


def _turn(row: Row) -> TurnRecord:
    return rows.turn_record(row[3:], _session_key(row), row[2])


DESCRIPTIONS: dict[Table[Any, Any], Description] = {
    PROCESSES: Description(
        f"SELECT {rows.PROCESS} FROM processes p WHERE p.process > ? ORDER BY p.process LIMIT ?",
        start=("",),
        values=lambda key: (key,),
        key_of=lambda row: row[0],
        record_of=rows.process_record,
    ),
    SESSIONS: Description(
        f"SELECT {rows.SESSION} {_SESSIONS} {_BEYOND_SESSION}",
        start=("", ""),
        values=tuple,
        key_of=rows.session_key,
        record_of=rows.session_record,
    ),
    SESSION_HEADS: Description(
        f"SELECT s.tenant, s.session_id, s.log_id, {rows.SESSION_HEAD} {_SESSIONS}"
        f" CROSS JOIN session_heads c ON c.log = s.log {_BEYOND_SESSION}",
        start=("", ""),
        values=tuple,
        key_of=_session_key,
        record_of=_session_head,
    ),
    REQUESTS: Description(
        f"SELECT {rows.REQUEST} FROM requests r CROSS JOIN request_heads h ON h.request = r.request"
        " CROSS JOIN sessions s ON s.log = h.log LEFT JOIN outcomes o ON o.request = r.request"
        " WHERE s.replaced = 0 AND (r.tenant, r.request_id) > (?, ?) ORDER BY r.tenant, r.request_id LIMIT ?",
        start=("", ""),
        values=tuple,
        key_of=lambda row: RequestKey(*row[2:4]),
        record_of=rows.whole_request,
    ),
    EVENTS: Description(
        EVENT_QUERY,
        start=("", "", 0),
        values=lambda key: (*key.session, key.session_sequence),
        key_of=lambda row: EventKey(_session_key(row), row[4]),
        record_of=_event,
    ),
    TURNS: Description(
        TURN_QUERY,
        start=("", "", 0),
        values=lambda key: (*key.session, key.number),
        key_of=lambda row: TurnKey(_session_key(row), row[2], row[3]),
        record_of=_turn,
    ),
    STATES: Description(
        f"SELECT {rows.STATE} FROM states t WHERE (t.kind, t.tenant, t.id, t.flow_kind) > (?, ?, ?, ?)"
        " ORDER BY t.kind, t.tenant, t.id, t.flow_kind LIMIT ?",
        start=(0, "", "", ""),
        values=state_key,
        key_of=lambda row: scope_key(row[:4]),
        record_of=rows.state_record,
    ),
    DOCUMENTS: Description(
        f"SELECT {rows.DOCUMENT} FROM documents d WHERE d.key > ? ORDER BY d.key LIMIT ?",
        start=(b"",),
        values=lambda key: (encode_key(key),),
        key_of=lambda row: row[0],
        record_of=rows.document,
    ),
}


class SqliteExports(Exports):
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def export(
        self, table: Table[Key, Record], *, after: Key | None, limit: int, max_bytes: int
    ) -> Sequence[Record]:
        return await self._reader.run(_page, DESCRIPTIONS[table], after, limit, max_bytes)


def _page(cursor: sqlite3.Cursor, of: Description, after: Any, limit: int, max_bytes: int) -> list[Any]:
    beyond = of.start if after is None else of.values(after)
    found = cursor.execute(of.query, (*beyond, limit))
    return page_of(understood(found, of.key_of, of.record_of), limit, max_bytes)
