"""Judging what a store keeps of resources: whether counts, places and contents fit them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from flowstate_server.model.blobs import BlobHead
from flowstate_server.model.documents import Document
from flowstate_server.model.resources import (
    COUNTS,
    ORPHANED,
    PLACE,
    RESOURCE,
    ResourceCounts,
    ResourceOwner,
    ResourceRecord,
    counts_in,
    orphaned_owner,
    owner_of,
    place_key,
    resource_in,
)
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.transfer.naming import named


@dataclass(slots=True)
class _Owned:
    """What was seen of an owner: its resources by collection, what is counted, and the places."""

    resources: int = 0
    collections: Counter[str] = field(default_factory=Counter)
    counted: ResourceCounts = field(default_factory=ResourceCounts)
    places: set[tuple[str, ...]] = field(default_factory=set)
    placed: set[tuple[str, ...]] = field(default_factory=set)


class ResourceCheck:
    def __init__(self) -> None:
        self._owned: dict[ResourceOwner, _Owned] = {}
        self._orphaned: set[ResourceOwner] = set()
        self._records: list[tuple[ResourceOwner, ResourceRecord]] = []

    def note(self, document: Document) -> None:
        kind = document.key.kind
        if kind == ORPHANED:  # they come before the others, which may be gone in part
            self._orphaned.add(orphaned_owner(document.key))
        if kind not in (RESOURCE, PLACE, COUNTS):
            return
        owner = owner_of(document.key)
        if owner in self._orphaned:
            return
        seen = self._owned.setdefault(owner, _Owned())
        if kind == COUNTS:
            seen.counted = counts_in(document)
        elif kind == PLACE:
            seen.places.add(document.key.name)
        for record in (
            those_understood((document,), lambda one: one.key, resource_in) if kind == RESOURCE else ()
        ):
            seen.resources += 1
            if record.collection:
                seen.collections[record.collection] += 1
                seen.placed.add(place_key(owner, record.collection, record.number).name)
            if record.content is not None:
                self._records.append((owner, record))

    def problems(self, heads: Iterable[BlobHead]) -> Iterator[str]:
        """``heads`` are those of the complete blobs."""
        known = {head.key: head for head in heads}
        for _, record in self._records:
            content = record.content
            head = None if content is None else known.get(content.blob)
            if head is None:
                yield f"{_named(record)}: its content is not there"
            elif content is not None and (head.size, head.sha256) != (content.size, content.sha256):
                yield f"{_named(record)}: its content has another size or checksum"
            elif head.due_time:
                yield f"{_named(record)}: its content is due to be deleted"
        for owner, seen in self._owned.items():
            if (seen.resources, dict(seen.collections)) != (
                seen.counted.total,
                dict(seen.counted.collections),
            ):
                yield (
                    f"{named(owner.scope)}: {seen.counted.total} resources are counted, there are {seen.resources}"
                )
            if seen.places != seen.placed:
                yield f"{named(owner.scope)}: the order of its resources is not that of those that are there"


def _named(record: ResourceRecord) -> str:
    return f"{named(record.key.scope)}: resource {record.key.name}"
