"""What lists of items are made of, in any database."""

from __future__ import annotations

from flowstate_server.model.items import Audience
from flowstate_server.stores.contract.lists import ItemPage, ItemPosition, ItemRange
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import AUDIENCE_BITS, Row

_OUTSIDE = AUDIENCE_BITS[Audience.CLIENT] | AUDIENCE_BITS[Audience.HISTORY]


def picked(audience: Audience | None, *, with_removed: bool = False) -> str:
    """SQL for what is listed of the items ``i``."""
    there = "true" if with_removed else "NOT i.removed"
    if audience is None:
        return there
    if audience is Audience.INTERNAL:
        return f"{there} AND (i.audiences & {_OUTSIDE}) = 0"
    return f"{there} AND (i.audiences & {AUDIENCE_BITS[audience]}) <> 0"


def item_page(found: list[Row], more: bool, which: ItemRange) -> ItemPage:
    """From rows as for ``rows.item_record``."""
    end = _position(found[-1]) if more else None
    records = those_understood(
        found,
        lambda row: (*which.session, row[0]),
        lambda row: rows.item_record(row, which.session, which.log_id),
    )
    return ItemPage([*records], end)


def _position(row: Row) -> ItemPosition:
    turn, index, session_sequence = rows.turn_order(row)
    return ItemPosition(session_sequence, turn, index if turn else 0)
