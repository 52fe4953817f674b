"""Keys as JSON, so that a copy can remember where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowstate_server.model.documents import DocumentKey, Owner, OwnerKind
from flowstate_server.model.events import EventKey
from flowstate_server.model.json_values import Json
from flowstate_server.model.records import TurnKey
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.contract.tables import (
    DOCUMENTS,
    EVENTS,
    PROCESSES,
    REQUESTS,
    SESSION_HEADS,
    SESSIONS,
    STATES,
    TURNS,
    Table,
)


def encode_place(key: Any) -> Json:
    return [encode_place(part) for part in key] if isinstance(key, tuple) else key


def decode_place(table: Table[Any, Any], place: Any) -> Any:
    """The key of ``table`` that :func:`encode_place` was given; ``None`` stays ``None``."""
    return None if place is None else _KEYS[table](place)


_KEYS: dict[Table[Any, Any], Callable[[Any], Any]] = {
    PROCESSES: str,
    SESSIONS: lambda place: SessionKey(*place),
    SESSION_HEADS: lambda place: SessionKey(*place),
    REQUESTS: lambda place: RequestKey(*place),
    EVENTS: lambda place: EventKey(SessionKey(*place[0]), place[1]),
    TURNS: lambda place: TurnKey(SessionKey(*place[0]), *place[1:]),
    STATES: lambda place: ScopeKey(ScopeKind(place[0]), *place[1:]),
    DOCUMENTS: lambda place: DocumentKey(
        Owner(OwnerKind(place[0][0]), *place[0][1:]), place[1], tuple(place[2])
    ),
}
