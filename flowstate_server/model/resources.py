"""Resources: named containers in session, user or org scope, with a state and a content under one version.

They are documents of the store, named by their owner first: so they outlive it for as long as it takes to let go of
their contents, bounded batch by bounded batch, and what they refer to is never lost with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, NamedTuple, cast

from flowstate_server.model.blobs import BlobKey, blob_key
from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey, DocumentRange, Name, ordered
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import Json, JsonObject, decode_json, encode_json
from flowstate_server.model.scopes import ScopeKey, ScopeKind

RESOURCE = "resource"
PLACE = "resource_place"
"""The kind of the documents that tell the order in which the resources of a collection were made."""
COUNTS = "resource_counts"
"""The kind of the one document of an owner that says how many resources it has, and that all who make one meet at."""
UPLOAD = "resource_upload"
"""The kind of the documents that tell which blob an upload of a caller goes to."""
ORPHANED = "orphaned_resources"
"""The kind of the notes that an owner is gone, whose resources are to go too."""

MAX_NAME_BYTES = 512
MAX_OF_OWNER = 10_000


class ResourceKey(NamedTuple):
    """``scope`` is that of the owner: a session, or a user or org, isolated or not."""

    scope: ScopeKey
    name: str


class ResourceOwner(NamedTuple):
    """A session, user or org in one of its incarnations: a session's ``log_id``, or that of the state record."""

    scope: ScopeKey
    incarnation: str

    @property
    def parts(self) -> Name:
        return (self.scope.kind.value, *self.scope[1:], self.incarnation)


@frozen
class ContentRecord:
    """The content of one version: a complete blob that nothing else refers to. ``sha256`` is lower-case hex."""

    blob: BlobKey
    size: int
    sha256: str


@frozen
class ResourceRecord:
    """A resource at one version, or the tombstone of one (``exists`` false: neither state nor content).

    ``version`` grows by 1 with each commit that changes state, content or media type, or deletes it, and goes on over
    that; 0: never written. ``incarnation`` is a new random text for each creation. Don't modify ``state``.
    ``collection`` is the pattern under which it was made, and counts (empty for a single one), ``number`` its place
    among those of its owner.
    """

    key: ResourceKey
    version: int = 0
    incarnation: str = ""
    exists: bool = False
    state: JsonObject = field(default_factory=dict)
    content: ContentRecord | None = None
    media_type: str = ""
    create_time: Micros = Micros(0)
    update_time: Micros = Micros(0)
    collection: str = ""
    number: int = 0

    def same_content(self, content: ContentRecord | None) -> bool:
        """Whether ``content`` has the same bytes."""
        if self.content is None or content is None:
            return self.content is content
        return self.has_content(content.size, content.sha256)

    def has_content(self, size: int, sha256: str) -> bool:
        """Whether it has content of that size and checksum."""
        return self.content is not None and (self.content.size, self.content.sha256) == (size, sha256)


def resource_key(owner: ResourceOwner, name: str) -> DocumentKey:
    return DocumentKey(STORE_OWNER, RESOURCE, (*owner.parts, name))


def owner_of(key: DocumentKey) -> ResourceOwner:
    """Of a resource, or of what is kept beside it."""
    kind, tenant, id, flow_kind, incarnation = key.name[:5]
    return ResourceOwner(ScopeKey(ScopeKind(kind), Tenant(tenant), id, flow_kind), incarnation)


def resource_range(owner: ResourceOwner, *, limit: int, prefix: str = "", after: str = "") -> DocumentRange:
    """By name, those whose names begin with ``prefix``, from beyond ``after``."""
    beyond = (*owner.parts, after) if after else None
    return DocumentRange(STORE_OWNER, RESOURCE, limit, owner.parts, beyond=beyond, begins=prefix)


def resource_text(record: ResourceRecord, state: bytes) -> bytes:
    """``state`` is the JSON text of the record's state, which may be long and is not made twice."""
    content = record.content
    told: Json = None if content is None else [*content.blob, content.size, content.sha256]
    rest = encode_json([told, record.media_type, record.collection, record.number])
    return b"[%b,%b" % (state, rest[1:])


def resource_in(document: Document) -> ResourceRecord:
    """The resource, or the tombstone of one.

    Raises:
        LookupError, TypeError, ValueError: it is no resource.
    """
    key = ResourceKey(owner_of(document.key).scope, document.key.name[5])
    record = ResourceRecord(
        key,
        version=document.version,
        incarnation=document.incarnation,
        create_time=document.create_time,
        update_time=document.update_time,
    )
    if not document.present:
        return record
    state, content, media_type, collection, number = cast("list[Any]", decode_json(document.text))
    return replace(
        record,
        exists=True,
        state=_object(state),
        content=None if content is None else _content(content),
        media_type=media_type,
        collection=collection,
        number=number,
    )


def _object(state: Any) -> JsonObject:
    if not isinstance(state, dict):
        raise TypeError("the state of a resource is an object")
    return state


def _content(told: Sequence[Any]) -> ContentRecord:
    *blob, size, sha256 = told
    return ContentRecord(blob_key(blob), size, sha256)


@frozen
class ResourceCounts:
    """How many resources an owner has: in all, and by the pattern of their collection; ``made`` so many ever."""

    made: int = 0
    total: int = 0
    collections: Mapping[str, int] = field(default_factory=dict)

    def of(self, collection: str) -> int:
        return self.collections.get(collection, 0)

    def moved(self, collection: str, by: int) -> ResourceCounts:
        """With one resource more or less."""
        collections = dict(self.collections)
        if collection:
            left = collections.pop(collection, 0) + by
            if left > 0:
                collections[collection] = left
        return ResourceCounts(self.made + max(by, 0), self.total + by, collections)


def counts_key(owner: ResourceOwner) -> DocumentKey:
    return DocumentKey(STORE_OWNER, COUNTS, owner.parts)


def counts_text(counts: ResourceCounts) -> bytes:
    return encode_json([counts.made, counts.total, {**counts.collections}])


def counts_in(document: Document | None) -> ResourceCounts:
    if document is None:
        return ResourceCounts()
    made, total, collections = cast("tuple[int, int, dict[str, int]]", decode_json(document.text))
    return ResourceCounts(made, total, collections)


def place_key(owner: ResourceOwner, collection: str, number: int) -> DocumentKey:
    return DocumentKey(STORE_OWNER, PLACE, (*owner.parts, collection, ordered(number)))


def oldest_places(owner: ResourceOwner, collection: str, limit: int) -> DocumentRange:
    """The places of a collection, those of the resources that were made first before others."""
    return DocumentRange(STORE_OWNER, PLACE, limit, (*owner.parts, collection))


class PlacedResource(NamedTuple):
    """A resource that was made as the ``number``th of its owner."""

    name: str
    number: int


def placed(place: Document) -> PlacedResource:
    return PlacedResource(cast(str, decode_json(place.text)), int(place.key.name[6], 16))


def upload_key(owner: ResourceOwner, name: str, principal: str, upload_id: str) -> DocumentKey:
    return DocumentKey(STORE_OWNER, UPLOAD, (*owner.parts, name, principal, upload_id))


def upload_text(blob: BlobKey) -> bytes:
    return encode_json([*blob])


def uploading(document: Document) -> BlobKey:
    """The blob that an upload goes to."""
    return blob_key(cast("list[str]", decode_json(document.text)))


def orphaned_key(owner: ResourceOwner, time: Micros) -> DocumentKey:
    return DocumentKey(STORE_OWNER, ORPHANED, (ordered(time), *owner.parts))


def orphaned_owners(limit: int) -> DocumentRange:
    """The notes, the oldest first."""
    return DocumentRange(STORE_OWNER, ORPHANED, limit)


def orphaned_owner(note: DocumentKey) -> ResourceOwner:
    _, *owner = note.name
    return owner_of(note._replace(name=tuple(owner)))


def left_behind(owner: ResourceOwner, limit: int) -> tuple[DocumentRange, ...]:
    """All that is kept of the resources of an owner, tombstones apart, which expire."""
    return tuple(
        [DocumentRange(STORE_OWNER, kind, limit, owner.parts) for kind in (RESOURCE, PLACE, UPLOAD, COUNTS)]
    )
