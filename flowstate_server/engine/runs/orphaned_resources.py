"""Forgets what sessions, users and orgs that are gone have left of resources."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document
from flowstate_server.model.resources import (
    RESOURCE,
    left_behind,
    orphaned_owner,
    orphaned_owners,
    resource_in,
)
from flowstate_server.stores.contract.blob_writes import ReleaseBlob
from flowstate_server.stores.contract.document_writes import DeleteDocument
from flowstate_server.stores.contract.pages import those_understood
from flowstate_server.stores.contract.writes import Write
from flowstate_server.stores.store import Store


async def forget_resources(store: Store, *, grace: Micros, limit: int) -> int:
    """Delete up to ``limit`` documents of each kind that the owner who is gone for longest has left.

    The same commit lets go of their contents, which stay for ``grace``; in the end the owner is forgotten. Returns how
    many documents went, 0 when nobody is left.

    Each step may be made twice, by several servers at once, or never: the next one finds what is left.
    """
    notes = await store.read_documents(orphaned_owners(1))
    if not notes:
        return 0
    [note] = notes
    left: list[Document] = []
    for which in left_behind(orphaned_owner(note.key), limit):
        left += await store.read_documents(which)
    writes: list[Write] = [DeleteDocument(document.key) for document in left]
    writes += _releases(left, grace)
    await store.commit(tuple(writes) if left else (DeleteDocument(note.key),))
    return len(left) or 1


def _releases(left: list[Document], grace: Micros) -> list[Write]:
    """Of one that is damaged it can't be told what it referred to; the log names it."""
    resources = [document for document in left if document.key.kind == RESOURCE]
    found = those_understood(resources, lambda document: document.key, resource_in)
    return [ReleaseBlob(one.content.blob, grace) for one in found if one.content is not None]
