"""Writes of logs."""

from __future__ import annotations

from flowstate_server.model.events import Event
from flowstate_server.model.frozen import frozen
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes.batches import Write


@frozen
class AppendEvents(Write):
    """Append events, and the rows of the items that ``item.done`` events carry, to the log of ``request`` or, without
    one, of ``session`` only.

    Refused with ``SessionNotFoundError`` unless the session lives, ``RequestNotFoundError`` unless the request is one
    of it, ``RequestTerminalError`` once that has ended.
    """

    session: SessionKey
    events: tuple[Event, ...]
    request: RequestKey | None = None
