"""The shelf: how documents are found, told and swept."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from flowstate_server.model.clock import ForwardClock, Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange, encode_key, encoded_bounds
from flowstate_server.stores.contract.pages import page_of, those_understood, understood_one
from flowstate_server.stores.sqlite.many_rows import ManyRows
from flowstate_server.stores.tables import rows
from flowstate_server.stores.tables.numbers import Row

DOCUMENT = f"SELECT d.document, {rows.DOCUMENT} FROM documents d WHERE d.key = ?"
_RANGE = (
    f"SELECT d.document, {rows.DOCUMENT} FROM documents d WHERE d.key >= ? AND d.key < ?"
    " AND d.present AND (d.expire_time = 0 OR d.expire_time > ?) ORDER BY d.key"
)
RANGE_UP = f"{_RANGE} LIMIT ?"
RANGE_DOWN = f"{_RANGE} DESC LIMIT ?"
PRESENT = ManyRows("SELECT d.key FROM (VALUES {rows}) AS new CROSS JOIN documents d ON d.key = new.column1")
EXPIRED = (
    "DELETE FROM documents WHERE document IN (SELECT document FROM documents"
    " WHERE expire_time > 0 AND expire_time <= ? ORDER BY expire_time LIMIT ?)"
)


def rows_in(cursor: sqlite3.Cursor, which: DocumentRange, time: Micros) -> Iterable[Row]:
    """The rows of the range, for :func:`document_in`: a number, and what is in ``rows.DOCUMENT``."""
    query = RANGE_DOWN if which.descending else RANGE_UP
    return cursor.execute(query, (*encoded_bounds(which), time, which.limit))


def document_in(row: Row) -> Document:
    return rows.document(row[1:])


def _encoded_key(row: Row) -> bytes:
    return bytes(row[1])


def read_page(
    cursor: sqlite3.Cursor, which: DocumentRange, time: Micros, max_bytes: int
) -> Sequence[Document]:
    found = those_understood(rows_in(cursor, which, time), _encoded_key, document_in)
    return page_of(found, which.limit, max_bytes)


def find(cursor: sqlite3.Cursor, key: DocumentKey) -> tuple[int, Document] | None:
    """The document of that key, whatever its time, and its number."""
    row = cursor.execute(DOCUMENT, (encode_key(key),)).fetchone()
    return None if row is None else (row[0], understood_one(key, row, document_in))


def load(
    cursor: sqlite3.Cursor, keys: Iterable[DocumentKey], clock: ForwardClock
) -> dict[DocumentKey, Document]:
    now = clock.now()
    found: dict[DocumentKey, Document] = {}
    for key in keys:
        _, document = find(cursor, key) or (0, None)
        if document is not None and document.exists(now):
            found[key] = document
    return found


def absent(cursor: sqlite3.Cursor, keys: Iterable[DocumentKey]) -> set[DocumentKey]:
    """Those of ``keys`` that there are no rows of."""
    encoded = {encode_key(key): key for key in keys}
    for (key,) in PRESENT.fetch(cursor, [(key,) for key in encoded]):
        del encoded[key]
    return {*encoded.values()}
