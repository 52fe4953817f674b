"""Documents by key, and their keys in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from heapq import heappop, heappush

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import (
    Document,
    DocumentKey,
    DocumentRange,
    Owner,
    encode_key,
    encoded_bounds,
    owner_bounds,
)


class DocumentTable:
    def __init__(self) -> None:
        self._by_key: dict[bytes, Document] = {}
        self._keys: list[bytes] = []
        self._expiring: list[tuple[Micros, bytes]] = []

    def get(self, key: DocumentKey) -> Document | None:
        return self._by_key.get(encode_key(key))

    def put(self, document: Document) -> None:
        key = encode_key(document.key)
        if key not in self._by_key:
            insort(self._keys, key)
        self._by_key[key] = document
        if document.expire_time:
            heappush(self._expiring, (document.expire_time, key))

    def remove(self, key: DocumentKey) -> None:
        encoded = encode_key(key)
        if self._by_key.pop(encoded, None) is not None:
            del self._keys[bisect_left(self._keys, encoded)]

    def range(self, which: DocumentRange, now: Micros) -> Iterator[Document]:
        """All documents of the range that are there, whatever its ``limit``."""
        low, high = encoded_bounds(which)
        positions = range(bisect_left(self._keys, low), bisect_left(self._keys, high))
        for position in reversed(positions) if which.descending else positions:
            document = self._by_key[self._keys[position]]
            if document.exists(now):
                yield document

    def owned(self, owner: Owner) -> Iterator[DocumentKey]:
        """The keys of all documents of the owner, tombstones too; to be read before anything is changed."""
        low, high = owner_bounds(owner)
        for position in range(bisect_left(self._keys, low), bisect_left(self._keys, high)):
            yield self._by_key[self._keys[position]].key

    def keys_after(self, key: DocumentKey | None) -> Iterator[DocumentKey]:
        start = 0 if key is None else bisect_right(self._keys, encode_key(key))
        return (self._by_key[key].key for key in self._keys[start:])

    def expired(self, now: Micros, limit: int) -> list[DocumentKey]:
        """Up to ``limit`` documents and tombstones whose time is over."""
        due: dict[bytes, Micros] = {}
        while len(due) < limit and self._expiring and self._expiring[0][0] <= now:
            expire_time, key = heappop(self._expiring)
            document = self._by_key.get(key)
            if document is not None and document.expire_time == expire_time:
                due[key] = expire_time
        for key, expire_time in due.items():
            heappush(self._expiring, (expire_time, key))
        return [self._by_key[key].key for key in due]
