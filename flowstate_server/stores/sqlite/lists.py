"""Lists of items and requests. Each is one function on one snapshot, which reads no further than its page goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from flowstate_server.stores.contract.lists import (
    ItemPage,
    ItemPosition,
    ItemRange,
    RequestFilter,
    RequestPage,
    RequestPosition,
)
from flowstate_server.stores.contract.pages import cut
from flowstate_server.stores.sqlite.dialect import in_sqlite
from flowstate_server.stores.sqlite.places import ITEM_SEQUENCE, place_of
from flowstate_server.stores.tables import queries, rows
from flowstate_server.stores.tables.item_lists import item_page, picked
from flowstate_server.stores.tables.numbers import Row
from flowstate_server.stores.tables.request_lists import (
    KEY,
    last_of_scan,
    list_query,
    request_page,
    scan_query,
)

HINT = "INDEXED BY {}"
LIVE_LOG = in_sqlite(
    f"SELECT s.log FROM sessions s WHERE {queries.THIS_SESSION} AND s.log_id = $3 AND s.delete_time = 0"
)
REQUEST_NUMBER = in_sqlite(f"SELECT r.request FROM requests r WHERE {queries.THIS_REQUEST}")
TURNS_UP = (
    "SELECT u.number, u.request, u.first, u.last FROM turns u"
    " WHERE u.log = ? AND u.number >= ? AND u.number <= ? ORDER BY u.number"
)
TURNS_DOWN = f"{TURNS_UP} DESC"
_ITEM = f"SELECT {ITEM_SEQUENCE}, i.time, r.request_id, ?, {rows.ITEM}, length(i.content) FROM items i"
_REQUEST_OF_ITEM = "LEFT JOIN requests r ON r.request = i.request"
ITEM_AT = f"{_ITEM} {_REQUEST_OF_ITEM} WHERE i.place = ?"
ITEMS_IN_LOG = f"{_ITEM} {_REQUEST_OF_ITEM} WHERE i.place > ? AND i.place < ?"
ITEMS_OF_REQUEST = f"{_ITEM} {_REQUEST_OF_ITEM} WHERE i.place > ? AND i.place < ? AND i.request = ?"
PLACES_OF_REQUEST = "SELECT i.item_index, i.place FROM items i WHERE i.request = ?"
PLACES_IN_LOG = "SELECT i.item_index, i.place FROM items i WHERE i.place >= ? AND i.place <= ?"


def list_items(
    cursor: sqlite3.Cursor, which: ItemRange, after: ItemPosition | None, limit: int, max_bytes: int
) -> ItemPage | None:
    found = cursor.execute(LIVE_LOG, (*which.session, which.log_id)).fetchone()
    if found is None:
        return None
    (log,) = found
    items = (
        _in_order(cursor, which, log, after) if which.turns is None else _by_turn(cursor, which, log, after)
    )
    page, more = cut(items, limit, max_bytes, lambda row: row[-1])
    return item_page([row[:-1] for row in page], more, which)


def list_requests(
    cursor: sqlite3.Cursor, which: RequestFilter, after: RequestPosition | None, limit: int, max_bytes: int
) -> RequestPage:
    last = None
    scan = scan_query(which, after, HINT)
    if scan is not None:
        text, values = scan
        found = cursor.execute(in_sqlite(text), values).fetchone()
        last = None if found is None else last_of_scan(found)
    query = list_query(which, after, last, HINT)
    text = f"SELECT {query.names}, {query.size} FROM {query.source} ORDER BY {KEY}"
    page, more = cut(cursor.execute(in_sqlite(text), query.values), limit, max_bytes, lambda row: row[-1])
    return request_page([row[:-1] for row in page], more, last)


def _in_order(
    cursor: sqlite3.Cursor, which: ItemRange, log: int, after: ItemPosition | None
) -> Iterator[Row]:
    first, last = place_of(log, 0), place_of(log + 1, 0)
    if after is not None:
        place = place_of(log, after.session_sequence)
        first, last = (first, place) if which.newest_first else (place, last)
    values: tuple[object, ...] = (0, first, last)
    query = ITEMS_IN_LOG
    if which.request_id:
        found = cursor.execute(REQUEST_NUMBER, (which.session.tenant, which.request_id)).fetchone()
        if found is None:
            return iter(())
        query, values = ITEMS_OF_REQUEST, (*values, found[0])
    order = "i.place DESC" if which.newest_first else "i.place"
    wanted = picked(which.audience, with_removed=which.with_removed)
    return cursor.execute(f"{query} AND {wanted} ORDER BY {order}", values)


def _by_turn(cursor: sqlite3.Cursor, which: ItemRange, log: int, after: ItemPosition | None) -> Iterator[Row]:
    """The places of a turn are sorted without what lies there."""
    first, last = which.turns or (1, 0)
    beyond: tuple[object, ...] = ()
    values: tuple[int, ...]
    if after is not None:
        first, last = (first, after.turn) if which.newest_first else (after.turn, last)
        beyond = after.index, place_of(log, after.session_sequence)
    turns = cursor.connection.cursor()
    down = which.newest_first
    wanted = picked(which.audience, with_removed=which.with_removed)
    for number, request, begin, end in turns.execute(TURNS_DOWN if down else TURNS_UP, (log, first, last)):
        if request is None:
            query, values = PLACES_IN_LOG, (place_of(log, begin), place_of(log, end))
        else:
            query, values = PLACES_OF_REQUEST, (request,)
        places = cursor.execute(f"{query} AND {wanted}", values).fetchall()
        for place in sorted(places, reverse=down):
            if after is None or number != after.turn or (place < beyond if down else place > beyond):
                yield from cursor.execute(ITEM_AT, (number, place[1]))
