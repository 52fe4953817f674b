"""Items that are added and removed from outside."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, ItemRecord
from flowstate_server.model.json_values import Json


@frozen
class NewItem:
    """An item to add, its fields unchecked; without audiences it is for the trusted plane only."""

    kind: str
    content: Json
    role: str = ""
    name: str = ""
    audiences: Sequence[Audience] = ()


@frozen
class ItemAppend:
    """Items that are added all or not at all. ``fingerprint`` is that of the message as sent."""

    session_id: str
    items: Sequence[NewItem]
    request_id: str = ""
    idempotency_key: str = ""
    fingerprint: str = ""


@frozen
class ItemsAppended:
    """``item_ids`` in the order of the call; the items as stored unless ``replayed``."""

    item_ids: Sequence[str]
    items: Sequence[ItemRecord]
    replayed: bool


@frozen
class ItemRemovalCall:
    """Which items to remove: those of ``ids``, or so many ``newest``, or all that come after the item ``after``."""

    session_id: str
    ids: Sequence[str] | None = None
    newest: int | None = None
    after: str | None = None
    idempotency_key: str = ""
    fingerprint: str = ""


@frozen
class ItemsRemoved:
    item_ids: Sequence[str]
    replayed: bool
