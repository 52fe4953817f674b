"""What sessions are listed by besides their binding: tags, and top-level keys of metadata with their values.

Each is a label of 16 bytes, the digest of its text: metadata of any size is found by a key of one size. Stores keep
labels, so that what they are made of never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from flowstate_server.model.json_values import Json, canonical_json, encode_json
from flowstate_server.model.records import SessionRecord

LABEL_BYTES = 16
NO_LABELS: frozenset[bytes] = frozenset()


def labels(tags: Iterable[str], metadata: Mapping[str, Json]) -> frozenset[bytes]:
    """The labels of the tags, and those of the keys with their values as canonical JSON text, so that ``1`` and ``1.0``
    differ."""
    found = [_digest(b"tag:" + tag.encode()) for tag in tags]
    found += [
        _digest(b"metadata:" + encode_json(key) + b":" + canonical_json(value))
        for key, value in metadata.items()
    ]
    return frozenset(found)


def session_labels(session: SessionRecord) -> frozenset[bytes]:
    """Those by which the session is listed; a deleted one has none."""
    if session.deleted or not (session.tags or session.metadata):
        return NO_LABELS
    return labels(session.tags, session.metadata)


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=LABEL_BYTES).digest()
