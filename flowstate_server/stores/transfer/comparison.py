"""Comparing two stores, record by record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from flowstate_server.model.json_values import canonical_json
from flowstate_server.model.records import RequestRecord, SessionRecord
from flowstate_server.stores.contract.backend import Exports
from flowstate_server.stores.contract.blobs import BlobPieces
from flowstate_server.stores.contract.tables import EXPORTED, PROCESSES, Table
from flowstate_server.stores.store import Store
from flowstate_server.stores.transfer.blobs import blob_differences
from flowstate_server.stores.transfer.naming import named
from flowstate_server.stores.transfer.pages import rows, side_by_side


async def differences(
    one: Store, other: Store, *, one_blobs: BlobPieces | None = None, other_blobs: BlobPieces | None = None
) -> AsyncIterator[str]:
    """What ``other`` keeps otherwise than ``one``, named by kind and key, never by value. Nothing: they are equal.

    Blobs are looked for in the slots for them, if given, else in the stores themselves. Server processes count as none:
    what they ran would be different itself.

    Raises:
        TypeError: one of the stores does not export.
    """
    ours, theirs = exports_of(one), exports_of(other)
    for table in EXPORTED:
        if table is PROCESSES:
            continue
        place = _place_of(table)
        async for mine, its in side_by_side(rows(ours, table), rows(theirs, table), place):
            if mine is None or its is None or not _same(mine, its):
                yield _name(table, mine, its)
    async for difference in blob_differences(one_blobs or one.pieces, other_blobs or other.pieces):
        yield difference


def exports_of(store: Store) -> Exports:
    """
    Raises:
        TypeError: it has none.
    """
    if store.exports is None:
        raise TypeError("the store does not export what it keeps")
    return store.exports


def _place_of(table: Table[Any, Any]) -> Callable[[Any], Any]:
    return lambda record: table.place(table.key_of(record))


def _same(one: Any, other: Any) -> bool:
    """Numbers in parsed values compare as JSON: 1 and 1.0 differ."""
    if isinstance(one, SessionRecord):
        return _without_metadata(one) == _without_metadata(other)
    if isinstance(one, RequestRecord):
        return bool(one == other) and _details(one) == _details(other)
    return bool(one == other)


def _without_metadata(record: SessionRecord) -> tuple[SessionRecord, bytes]:
    return replace(record, metadata={}), canonical_json(record.metadata)


def _details(request: RequestRecord) -> bytes:
    return b"" if request.failure is None else canonical_json(request.failure.details)


def _name(table: Table[Any, Any], one: Any | None, other: Any | None) -> str:
    missing = (
        " is missing in the first" if one is None else " is missing in the second" if other is None else ""
    )
    return named(table.key_of(other if one is None else one)) + missing
