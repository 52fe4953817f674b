"""The writes of a conversation from outside: items that are added, and items whose content goes."""

from __future__ import annotations

from flowstate_server.model.events import Event
from flowstate_server.model.frozen import frozen
from flowstate_server.model.records import TurnKey
from flowstate_server.model.removals import EmptiedRequest, ItemRemoval
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.writes import Write


@frozen
class AppendItems(Write):
    """Append the ``item.added`` and ``item.done`` events of whole items: to the log of ``request``, or, without one, to
    the session's log, where they become one turn.

    Refused with ``SessionNotFoundError`` unless the session lives, with ``SessionChanged`` unless it is the incarnation
    ``log_id``; with ``RequestNotFoundError`` unless the request is one of it, with ``RequestTerminalError`` once that
    has ended. ``WriteResult.ids`` are the ids of the items.
    """

    session: SessionKey
    log_id: str
    events: tuple[Event, ...]
    request: RequestKey | None = None


class ItemsChanged(Exception):
    """Items of the session were removed since the batch was made. Read them again and decide anew."""


@frozen
class RemoveItems(Write):
    """Remove the content of items, with one ``item.removed`` for each in the session's log.

    Whoever makes it has read, when items of the session had been removed ``seen`` times, that of ``turns`` and
    ``emptied`` nothing is left then; if that is more often by now, :class:`ItemsChanged`. Refused with
    ``SessionNotFoundError`` unless the session lives, with ``SessionChanged`` unless it is the incarnation ``log_id``,
    with ``RequestOpenError`` if a request of one of the items has not ended. ``WriteResult.ids`` are the ids of the
    items.
    """

    session: SessionKey
    log_id: str
    items: tuple[ItemRemoval, ...]
    seen: int
    turns: tuple[TurnKey, ...] = ()
    emptied: tuple[EmptiedRequest, ...] = ()
