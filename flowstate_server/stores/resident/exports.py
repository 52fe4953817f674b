"""Everything that is stored, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge, nsmallest
from itertools import chain
from typing import Any, TypeVar

from flowstate_server.model.events import EventKey, EventRecord
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import page_of
from flowstate_server.stores.contract.tables import DOCUMENTS, EVENTS, REQUESTS, TURNS, Table
from flowstate_server.stores.resident.tables import Tables

Key = TypeVar("Key")
Record = TypeVar("Record")


class ResidentExports(Exports):
    """It looks at all keys for each page, which is what a store without an order can do."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def export(
        self, table: Table[Key, Record], *, after: Key | None, limit: int, max_bytes: int
    ) -> Sequence[Record]:
        with self._tables as tables:
            records: Iterable[Any]
            if table is EVENTS:
                records = _events(tables, after)  # type: ignore[arg-type]
            else:
                found = (tables.find(table, key) for key in _keys(tables, table, after, limit))
                records = (record for record in found if record is not None)
            return page_of(records, limit, max_bytes)


def _keys(tables: Tables, table: Table[Any, Any], after: Any, limit: int) -> Iterable[Any]:
    """The next keys in order, those of damaged records too."""
    damaged = (
        key for key in tables.damage.keys(table) if after is None or table.place(key) > table.place(after)
    )
    if table is DOCUMENTS:
        stored = tables.documents.keys_after(after)
        return merge(stored, sorted(damaged, key=table.place), key=table.place)
    keys: Iterable[Any] = tables.rows[table]
    if table is REQUESTS:
        heads = (request.head for request in tables.requests.values())
        keys = (head.key for head in heads if tables.is_present(head.session, head.session_log_id))
    elif table is TURNS:
        keys = (key for key in keys if tables.is_present(key.session, key.log_id))
    if after is not None:
        keys = (key for key in keys if table.place(key) > table.place(after))
    return nsmallest(limit, chain(keys, damaged), key=table.place)


def _events(tables: Tables, after: EventKey | None) -> Iterator[EventRecord]:
    for session in sorted(tables.sessions):
        if after is None or session >= after.session:
            beyond = after.session_sequence if after is not None and session == after.session else 0
            yield from tables.session_events_after(session, tables.sessions[session].log_id, beyond)
