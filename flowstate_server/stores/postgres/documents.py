"""The shelf: how documents are found, told and swept."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey
from flowstate_server.stores.postgres.statements import DOCUMENT_KEYS, TIME, page, together, unnested
from flowstate_server.stores.tables import rows

DOCUMENTS = together(((0, f"SELECT {rows.DOCUMENT} FROM {DOCUMENT_KEYS.found(1, 'd')}"), (1, TIME)))
EXPIRED = (
    "WITH gone AS (DELETE FROM flowstate.documents WHERE document IN"
    f" (SELECT document FROM flowstate.documents WHERE expire_time > 0 AND expire_time <= ({TIME})"
    " ORDER BY expire_time, document LIMIT $1 FOR UPDATE SKIP LOCKED) RETURNING 1) SELECT count(*) FROM gone"
)


def _range(order: str) -> str:
    # A window can't be asked for in an order that is given as a parameter, nor an index be followed in one.
    source = (
        f"(SELECT * FROM flowstate.documents WHERE key >= $1 AND key < $2 AND present"
        f" AND (expire_time = 0 OR expire_time > greatest($5, ({TIME}))) ORDER BY key {order} LIMIT $3) d"
    )
    return page(rows.DOCUMENT, source, f"d.key {order}", "octet_length(d.text)", "$3", "$4")


RANGE_UP = _range("ASC")
RANGE_DOWN = _range("DESC")


def ranges(first: int, order: str) -> str:
    """Of the ranges given from ``$first`` on as numbers, bounds and limits."""
    return (
        f"SELECT k.number, d.document, {rows.DOCUMENT} FROM {unnested(first, 'number, low, high, most', 'k')}"
        " CROSS JOIN LATERAL (SELECT * FROM flowstate.documents WHERE key >= k.low AND key < k.high"
        f" AND present AND (expire_time = 0 OR expire_time > $1) ORDER BY key {order} LIMIT k.most) d"
        f" ORDER BY k.number, d.key {order}"
    )


def existing(documents: Iterable[Document], time: Micros) -> dict[DocumentKey, Document]:
    return {document.key: document for document in documents if document.exists(time)}
