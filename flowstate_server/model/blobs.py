"""Large content: what is known of a blob beside its pieces.

A blob's head is a document of the store, so that it takes part in commits and outlives whatever refers to it. Beside it
stands a note of when the sweep is to look at it again. A note holds only while the head names the same time; what it
tells is then decided by the head alone, so one that is out of date does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey, DocumentRange, ordered
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import EMPTY_OBJECT, JsonObject, decode_json, encode_json

HEADS = "blob"
DUES = "blob_due"
RELEASED = "blob_released"

MAX_BLOB_BYTES = 64 * 1024 * 1024
"""Images and documents of a conversation, not archives: a blob is moved whole when a store is copied."""


class BlobKey(NamedTuple):
    """A blob is of one tenant. Its id is ours (``new_id("blob_")``), and no two tenants have the same."""

    tenant: Tenant
    id: str


class BlobStatus(StrEnum):
    UPLOADING = "uploading"
    COMPLETE = "complete"
    DOOMED = "doomed"
    """Nothing may refer to it again; its pieces are deleted when readers and uploads that saw it before are done."""


@frozen
class BlobHead:
    """``size`` and ``sha256`` (lower-case hex) are known once it is complete. At ``due_time`` the sweep looks at it;
    0: it is kept, because something refers to it."""

    key: BlobKey
    status: BlobStatus
    due_time: Micros
    size: int = 0
    sha256: str = ""


class BlobDue(NamedTuple):
    """The note that the sweep is to look at a blob at ``time``."""

    time: Micros
    blob: BlobKey


def head_key(key: BlobKey) -> DocumentKey:
    return DocumentKey(STORE_OWNER, HEADS, tuple(key))


def head_text(head: BlobHead) -> bytes:
    return encode_json(
        {"status": head.status, "due_time": head.due_time, "size": head.size, "sha256": head.sha256}
    )


def blob_key(parts: Sequence[str]) -> BlobKey:
    tenant, blob_id = parts
    return BlobKey(Tenant(tenant), blob_id)


def head_of(document: Document) -> BlobHead:
    """
    Raises:
        LookupError, TypeError, ValueError: it is no head of a blob.
    """
    text = cast(JsonObject, decode_json(document.text))
    return BlobHead(
        key=blob_key(document.key.name),
        status=BlobStatus(cast(str, text["status"])),
        due_time=Micros(cast(int, text["due_time"])),
        size=cast(int, text["size"]),
        sha256=cast(str, text["sha256"]),
    )


DUE_TEXT = EMPTY_OBJECT


def due_key(due: BlobDue) -> DocumentKey:
    return DocumentKey(STORE_OWNER, DUES, (ordered(due.time), *due.blob))


def due_of(key: DocumentKey) -> BlobDue:
    time, *blob = key.name
    return BlobDue(Micros(int(time, 16)), blob_key(blob))


def first_due(limit: int) -> DocumentRange:
    """The notes, those of the earliest times first."""
    return DocumentRange(STORE_OWNER, DUES, limit=limit)


def released_key(time: Micros, blob: BlobKey) -> DocumentKey:
    """The note that nothing refers to a blob any more since a commit that did not know its head."""
    return DocumentKey(STORE_OWNER, RELEASED, (ordered(time), *blob))


def released_blob(key: DocumentKey) -> BlobKey:
    return blob_key(key.name[1:])


def first_released(limit: int) -> DocumentRange:
    """The notes, the oldest first."""
    return DocumentRange(STORE_OWNER, RELEASED, limit=limit)
