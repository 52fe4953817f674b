"""What reports call a record: its kind and its key, never its values."""

from __future__ import annotations

from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey

Key = SessionKey | RequestKey | ScopeKey | IdempotencyKey | int


def named(key: Key) -> str:
    """Kind and key, the parts of the key apart by slashes, an empty one as two quotation marks. An ``int`` is an
    event's place in its session."""
    match key:
        case SessionKey():
            return _joined("session", *key)
        case RequestKey():
            return _joined("request", *key)
        case ScopeKey():
            return _joined("state", key.kind, key.tenant, key.id, key.flow_kind)
        case IdempotencyKey():
            return _joined("idempotency key", key.tenant, key.principal, key.method, key.key)
        case int():
            return f"event {key}"


def _joined(kind: str, *parts: str) -> str:
    return f"{kind} " + "/".join([part or '""' for part in parts])
