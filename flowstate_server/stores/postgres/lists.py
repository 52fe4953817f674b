"""Lists of items and requests. Each page is one statement; one of picked requests is two."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import NamedTuple

from flowstate_server.model.items import Audience
from flowstate_server.stores.contract.lists import ItemPage, ItemPosition, ItemRange
from flowstate_server.stores.postgres.statements import page, together
from flowstate_server.stores.tables import queries, rows
from flowstate_server.stores.tables.item_lists import item_page, picked
from flowstate_server.stores.tables.numbers import Row
from flowstate_server.stores.tables.reads import FAR
from flowstate_server.stores.tables.request_lists import DETAILS, KEY, ListQuery

_SESSION = f"{queries.THIS_SESSION} AND s.log_id = $3 AND s.delete_time = 0"
_LIVE_LOG = f"SELECT s.log FROM flowstate.sessions s WHERE {_SESSION}"
_NAMES = f"i.session_sequence, i.time, r.request_id, i.turn, {rows.ITEM}"
_TURN_ITEMS = (
    "(SELECT * FROM flowstate.items WHERE request = u.request UNION ALL SELECT * FROM flowstate.items"
    " WHERE u.request IS NULL AND log = u.log AND session_sequence BETWEEN u.first AND u.last)"
)


class _Kind(NamedTuple):
    by: str
    audience: Audience | None
    newest_first: bool
    with_removed: bool


def _items(source: str, order: str) -> str:
    """Of the list ``source``, which is cut behind one more than $7 and called ``i``."""
    found = page(
        _NAMES,
        f"{source} LEFT JOIN flowstate.requests r ON r.request = i.request",
        order,
        "octet_length(i.content)",
        "$7",
        "$8",
    )
    return together(((0, _LIVE_LOG), (1, found)))


def _query(kind: _Kind) -> str:
    """Given the session's key and ``log_id``, the place to go on from, the limits, and what ``by`` needs."""
    down, beyond = (" DESC", "<") if kind.newest_first else ("", ">")
    where = f"WHERE {picked(kind.audience, with_removed=kind.with_removed)}"
    if kind.by == "turns":
        order = ", ".join(f"i.{name}{down}" for name in ("turn", "item_index", "session_sequence"))
        turns = f"(SELECT * FROM flowstate.turns WHERE log = ({_LIVE_LOG}) AND number BETWEEN $9 AND $10) u"
        place = f"(u.number, i.item_index, i.session_sequence) {beyond} ($4, $5, $6)"
        source = (
            f"(SELECT i.*, u.number AS turn FROM {turns} CROSS JOIN LATERAL {_TURN_ITEMS} i {where} AND {place}"
            f" ORDER BY {order.replace('i.turn', 'u.number')} LIMIT $7 + 1) i"
        )
        return _items(source, order)
    order = f"i.session_sequence{down}"
    # All are given the same values, so that each has to name them.
    place = f"i.session_sequence {beyond} $6 AND $4::bigint = 0 AND $5::bigint = 0"
    of = f"i.log = ({_LIVE_LOG})"
    if kind.by == "request":
        of = "i.request = (SELECT r.request FROM flowstate.requests r WHERE r.tenant = $1 AND r.request_id = $9)"
    found = f"SELECT i.*, 0 AS turn FROM flowstate.items i {where} AND {of} AND {place}"
    return _items(f"({found} ORDER BY {order} LIMIT $7 + 1) i", order)


ITEMS: Mapping[_Kind, str] = {
    kind: _query(kind)
    for kind in map(
        _Kind._make, product(("log", "request", "turns"), (None, *Audience), *[(False, True)] * 2)
    )
}


def items_query(which: ItemRange, after: ItemPosition | None, limit: int, max_bytes: int) -> tuple[str, Row]:
    turn = index = 0
    sequence = FAR if which.newest_first else 0
    if after is not None:
        turn, index, sequence = after.turn, after.index, after.session_sequence
    by: tuple[str, Row] = ("log", ())
    if which.turns is not None:
        by = ("turns", which.turns)
        if after is None and which.newest_first:
            turn = index = FAR
    elif which.request_id:
        by = ("request", (which.request_id,))
    query = ITEMS[_Kind(by[0], which.audience, which.newest_first, which.with_removed)]
    return query, (*which.session, which.log_id, turn, index, sequence, limit, max_bytes, *by[1])


def items_found(found: list[Row], which: ItemRange) -> ItemPage | None:
    """From what an :func:`items_query` finds."""
    if not found or found[0][0] != 0:
        return None
    listed = [row for _, row in found[1:]]
    more = bool(listed) and listed[-1][-3] > len(listed)
    return item_page([tuple(row[:-3]) for row in listed], more, which)


def requests_query(query: ListQuery, limit: int, max_bytes: int) -> tuple[str, Row]:
    """A page of ``query``. Its rows end with those of :func:`~.statements.page`."""
    first = len(query.values) + 1
    source = (
        f"(SELECT r.request AS number FROM {query.source} ORDER BY {KEY} LIMIT ${first} + 1) k"
        " JOIN flowstate.requests r ON r.request = k.number"
        f" JOIN flowstate.request_heads h ON h.request = r.request {DETAILS}"
    )
    text = page(query.names, source, KEY, query.size, f"${first}", f"${first + 1}")
    return text, (*query.values, limit, max_bytes)
