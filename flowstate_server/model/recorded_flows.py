"""What server processes record of the flows that they serve, so that those of others can be compared with them.

A declaration is a document by its content, so that any number of processes, one after another or at once, keep one. A
process has a document of its own that says which declarations are its flows'. Both expire unless they are confirmed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey, DocumentRange
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import decode_json, encode_json

DECLARATION = "flow_declaration"
"""The kind of what a flow declares of records that it shares. Its name is the flow's kind, and a hash of the text."""
SERVED = "served_flows"
"""The kind of what says which declarations are those of a process. Its name is the process."""

OF_PROCESSES = frozenset((DECLARATION, SERVED))
"""Kinds that belong to the processes that serve a store: they are no part of what it keeps for others."""


@frozen
class RecordedFlow:
    """Names a declaration."""

    kind: str
    hash: str

    @property
    def key(self) -> DocumentKey:
        return DocumentKey(STORE_OWNER, DECLARATION, (self.kind, self.hash))


def recorded_flow(key: DocumentKey) -> RecordedFlow:
    """Which declaration is under ``key``."""
    return RecordedFlow(*key.name)


def declarations_range(*, limit: int, beyond: DocumentKey | None = None) -> DocumentRange:
    return DocumentRange(STORE_OWNER, DECLARATION, limit, beyond=None if beyond is None else beyond.name)


def served_key(process: str) -> DocumentKey:
    return DocumentKey(STORE_OWNER, SERVED, (process,))


def encode_served(flows: Iterable[RecordedFlow]) -> bytes:
    return encode_json([[flow.kind, flow.hash] for flow in flows])


def decode_served(document: Document) -> list[RecordedFlow]:
    """
    Raises:
        ValueError, TypeError: the document is none.
    """
    return [RecordedFlow(kind, hash) for kind, hash in cast("list[list[str]]", decode_json(document.text))]
