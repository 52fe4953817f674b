"""By what a session is resolved: two documents, the key's, which names the session, and the session's, which names its
key. They are written together or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple, cast

from flowstate_server.model.documents import STORE_OWNER, Document, DocumentKey, session_owner
from flowstate_server.model.identity import Tenant
from flowstate_server.model.json_values import Json, canonical_json, decode_json, encode_json
from flowstate_server.model.scopes import SessionKey

RESOLVED_SESSION = "resolved_session"
"""The kind of the document that says which session a key resolves to. Its name is the key."""
RESOLVE_KEY = "resolve_key"
"""The kind of the one document of a session that says by which key it is resolved."""


class ResolveKey(NamedTuple):
    """``metadata`` is the digest of its canonical JSON text."""

    tenant: Tenant
    flow_kind: str
    user_id: str
    metadata: str


def resolve_key(tenant: Tenant, flow_kind: str, user_id: str, metadata: Mapping[str, Json]) -> ResolveKey:
    return ResolveKey(tenant, flow_kind, user_id, sha256(canonical_json(metadata)).hexdigest())


def resolved_document(key: ResolveKey) -> DocumentKey:
    return DocumentKey(STORE_OWNER, RESOLVED_SESSION, tuple(key))


def held_document(session: SessionKey, log_id: str) -> DocumentKey:
    return DocumentKey(session_owner(session, log_id), RESOLVE_KEY, ())


def encode_resolved(session: SessionKey, log_id: str) -> bytes:
    return encode_json([session.session_id, log_id])


def decode_resolved(document: Document) -> tuple[SessionKey, str]:
    """The session that the key's document names, and its incarnation.

    Raises:
        ValueError: the document says no such thing.
    """
    session_id, log_id = cast("list[str]", decode_json(document.text))
    return SessionKey(Tenant(document.key.name[0]), session_id), log_id


def encode_held(key: ResolveKey) -> bytes:
    return encode_json(list(key))


def decode_held(document: Document | None) -> ResolveKey | None:
    """The key that the session's document names.

    Raises:
        ValueError, TypeError: the document says no such thing.
    """
    if document is None:
        return None
    tenant, flow_kind, user_id, metadata = cast("list[str]", decode_json(document.text))
    return ResolveKey(Tenant(tenant), flow_kind, user_id, metadata)
