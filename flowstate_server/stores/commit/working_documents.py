"""The documents that a group works on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowstate_server.model.documents import Document, DocumentKey, DocumentRange, OwnerKind
from flowstate_server.model.resources import RESOURCE, owner_of
from flowstate_server.stores.commit.working_table import WorkingTable, records_of
from flowstate_server.stores.contract import tables
from flowstate_server.stores.contract.tables import Loaded
from flowstate_server.stores.contract.watch import Topic, TopicKind

_TOPICS = {
    OwnerKind.SESSION: TopicKind.SESSION_DOCUMENTS,
    OwnerKind.USER: TopicKind.USER_DOCUMENTS,
    OwnerKind.ORG: TopicKind.ORG_DOCUMENTS,
    OwnerKind.FLOW: TopicKind.FLOW_DOCUMENTS,
}
"""Documents of a request change with its log; those of the store are not watched, but for resources, with the documents
of their owner."""


class RangeSpent(Exception):
    """An earlier batch of the group has taken from a range what this one needs: it is decided with the next group."""


class WorkingDocuments(WorkingTable[DocumentKey, Document]):
    def __init__(self, loaded: Loaded, touched: list[WorkingTable[Any, Any]]) -> None:
        super().__init__(records_of(tables.DOCUMENTS, loaded, loaded.ranges.values()), touched)
        self._time = loaded.time
        self._ranges = loaded.ranges

    def find(self, key: DocumentKey) -> Document | None:
        """The document, if it is there now."""
        document = self.get(key)
        return document if document is not None and document.exists(self._time) else None

    def range(self, which: DocumentRange) -> list[Document]:
        """The documents of a needed range, as the batches so far have left them.

        Raises:
            RangeSpent: so many of those that were loaded are gone that what comes after them would have to be known.
        """
        loaded = self._ranges[which]
        found = {document.key: document for document in loaded}
        for key, document in self.put_so_far().items():
            if document is not None and document.exists(self._time) and which.covers(key):
                found[key] = document
            else:
                found.pop(key, None)
        keys = sorted(found, key=lambda key: key.name, reverse=which.descending)
        if len(loaded) == which.limit:
            last = loaded[-1].key.name
            keys = [key for key in keys if (key.name >= last if which.descending else key.name <= last)]
            if len(keys) < which.limit:
                raise RangeSpent
        return [found[key] for key in keys[: which.limit]]

    def topics(self) -> Iterator[Topic]:
        """Whom what was kept concerns."""
        for key in self.changed():
            if key.owner.kind in _TOPICS:
                yield Topic(_TOPICS[key.owner.kind], key.owner.tenant, key.owner.id)
            elif key.kind == RESOURCE:
                scope = owner_of(key).scope
                yield Topic(_TOPICS[OwnerKind(scope.kind)], scope.tenant, scope.id)
