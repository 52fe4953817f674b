"""All that the database keeps, in pages by key."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import page_of, understood
from flowstate_server.stores.contract.tables import EVENTS, TURNS, Table
from flowstate_server.stores.sqlite.dialect import in_sqlite
from flowstate_server.stores.sqlite.places import EVENT_SEQUENCE, start_of
from flowstate_server.stores.sqlite.reader import Reader
from flowstate_server.stores.tables.exports import EXPORTS, Export
from flowstate_server.stores.tables.numbers import ITEM_DONE

Key = TypeVar("Key")
Record = TypeVar("Record")


def _page(export: Export) -> str:
    place = ", ".join("?" * len(export.start))
    query = f"SELECT {export.names} FROM {export.source} AND ({export.key}) > ({place}) ORDER BY {export.key} LIMIT ?"
    return in_sqlite(query)


# Of what belongs to a session, a page begins within that of the key and goes on with the sessions after it.
_SESSIONS = "FROM sessions s"
_FROM_SESSION = "WHERE NOT s.replaced AND (s.tenant, s.session_id) >= (?1, ?2)"
_WITHIN_SESSION = "CASE WHEN s.tenant = ?1 AND s.session_id = ?2 THEN ?3 ELSE 0 END"

QUERIES = {table: _page(export) for table, export in EXPORTS.items() if export.source} | {
    EVENTS: (
        f"SELECT {EXPORTS[EVENTS].names.format(sequence=EVENT_SEQUENCE)} {_SESSIONS} CROSS JOIN events e"
        " LEFT JOIN requests r ON r.request = e.request"
        f" LEFT JOIN items i ON e.type = {ITEM_DONE} AND i.place = e.place {_FROM_SESSION}"
        f" AND e.place > {start_of('s.log')} + {_WITHIN_SESSION} AND e.place < {start_of('(s.log + 1)')}"
        " ORDER BY s.tenant, s.session_id, e.place LIMIT ?4"
    ),
    TURNS: (
        f"SELECT {EXPORTS[TURNS].names} {_SESSIONS} CROSS JOIN turns u ON u.log = s.log"
        f" LEFT JOIN requests r ON r.request = u.request {_FROM_SESSION} AND u.number > {_WITHIN_SESSION}"
        " ORDER BY s.tenant, s.session_id, u.number LIMIT ?4"
    ),
}


class SqliteExports(Exports):
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def export(
        self, table: Table[Key, Record], *, after: Key | None, limit: int, max_bytes: int
    ) -> Sequence[Record]:
        return await self._reader.run(_records, table, after, limit, max_bytes)


def _records(
    cursor: sqlite3.Cursor, table: Table[Any, Any], after: Any, limit: int, max_bytes: int
) -> list[Any]:
    export = EXPORTS[table]
    beyond = export.start if after is None else export.values(after)
    found = cursor.execute(QUERIES[table], (*beyond, limit))
    return page_of(understood(found, export.key_of, export.record_of), limit, max_bytes)
