"""What reports call a record: its kind and its key, never its values."""

from __future__ import annotations

from typing import Any

from flowstate_server.model.documents import DocumentKey, Owner
from flowstate_server.model.events import EventKey
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey


def named(key: Any) -> str:
    """Kind and key, the parts of the key apart by slashes, an empty one as two quotation marks. A text is the id of a
    server process."""
    match key:
        case SessionKey():
            return _joined("session", *key)
        case RequestKey():
            return _joined("request", *key)
        case ScopeKey():
            return _joined("state", key.kind, key.tenant, key.id, key.flow_kind)
        case EventKey():
            return f"event {key.session_sequence} of {named(key.session)}"
        case TurnKey():
            return f"turn {key.number} of {named(key.session)}"
        case DocumentKey():
            return f"{key.kind.replace('_', ' ')} {_joined('', *key.name).strip()} of {_owner(key.owner)}"
        case _:
            return f"process {key}"


def _owner(owner: Owner) -> str:
    parts = [owner.tenant, owner.id, owner.flow_kind]
    return _joined(owner.kind, *parts) if any(parts) else f"the {owner.kind}"


def _joined(kind: str, *parts: str) -> str:
    return f"{kind} " + "/".join([part or '""' for part in parts])
