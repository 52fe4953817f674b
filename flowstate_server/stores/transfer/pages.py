"""Walking through all that a store keeps, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from flowstate_server.model.recorded_flows import OF_PROCESSES
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.pages import DamagedRecord
from flowstate_server.stores.contract.tables import DOCUMENTS, EVENTS, Table

ROWS = 200
MOST_EVENTS = 500
BYTES = 1024 * 1024
"""Most records of a page, events of one, and bytes of either: a store has seconds for each, over whatever network."""

COPY_PLACE = "copy_place"
"""The kind of the documents in which copies remember how far they are. They are no part of what is copied, as are those
of the processes that serve a store."""
_NOT_COPIED = OF_PROCESSES | {COPY_PLACE}

Key = TypeVar("Key")
Record = TypeVar("Record")
OnDamage = Callable[[DamagedRecord], None]
"""Hears of a record that can't be understood, which is passed over; without it the walk ends with the error."""


async def pages(
    exports: Exports, table: Table[Key, Record], after: Key | None = None, on_damage: OnDamage | None = None
) -> AsyncIterator[Sequence[Record]]:
    """The records of ``table`` from beyond ``after``; no page is empty."""
    async for page in _pages(exports, table, after, on_damage):
        kept = _copied(page) if table is DOCUMENTS else page
        if kept:
            yield kept


async def rows(
    exports: Exports, table: Table[Any, Record], on_damage: OnDamage | None = None
) -> AsyncIterator[Record]:
    """The same, one by one."""
    async for page in pages(exports, table, on_damage=on_damage):
        for record in page:
            yield record


async def side_by_side(
    ours: AsyncIterator[Record], theirs: AsyncIterator[Record], place: Callable[[Record], Any]
) -> AsyncIterator[tuple[Record | None, Record | None]]:
    """Records of the same place together, ``None`` beside one that the other side lacks. Both sides are in order."""
    mine, its = await anext(ours, None), await anext(theirs, None)
    while mine is not None or its is not None:
        if its is None or (mine is not None and place(mine) < place(its)):
            yield mine, None
            mine = await anext(ours, None)
        elif mine is None or place(its) < place(mine):
            yield None, its
            its = await anext(theirs, None)
        else:
            yield mine, its
            mine, its = await anext(ours, None), await anext(theirs, None)


async def _pages(
    exports: Exports, table: Table[Key, Record], after: Key | None, on_damage: OnDamage | None
) -> AsyncIterator[Sequence[Record]]:
    """Up to a damaged record, which makes its page fail, it goes on in pages of one."""
    most = MOST_EVENTS if table is EVENTS else ROWS
    limit = most
    while True:
        try:
            page = await exports.export(table, after=after, limit=limit, max_bytes=BYTES)
        except DamagedRecord as damage:
            if on_damage is None:
                raise
            if limit == 1:
                on_damage(damage)
                after, limit = damage.key, most
            else:
                limit = 1
            continue
        if not page:
            return
        yield page
        after = table.key_of(page[-1])


def _copied(page: Sequence[Any]) -> Sequence[Any]:
    return [document for document in page if document.key.kind not in _NOT_COPIED]
