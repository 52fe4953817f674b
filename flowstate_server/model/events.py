"""Events: the log that every run writes and any client can tail."""

from __future__ import annotations

from typing import NamedTuple

from flowstate_server.model.clock import Micros
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, Item
from flowstate_server.model.scopes import SessionKey
from flowstate_server.model.word import Word


class EventType(Word):
    REQUEST_CREATED = "request.created"
    REQUEST_QUEUED = "request.queued"
    REQUEST_IN_PROGRESS = "request.in_progress"
    REQUEST_COMPLETED = "request.completed"
    REQUEST_FAILED = "request.failed"
    REQUEST_ABORTED = "request.aborted"
    REQUEST_INTERRUPTED = "request.interrupted"
    BLOCK_STARTED = "block.started"
    BLOCK_COMPLETED = "block.completed"
    BLOCK_FAILED = "block.failed"
    MODEL_USAGE = "model.usage"
    ROUTER_DECIDED = "router.decided"
    ITEM_ADDED = "item.added"
    ITEM_DELTA = "item.delta"
    ITEM_DONE = "item.done"
    ITEM_REMOVED = "item.removed"
    STATE_CHANGE = "state_change"
    RESOURCE_CHANGE = "resource_change"
    SESSION_METADATA_CHANGED = "session.metadata_changed"
    STATUS = "status"
    CUSTOM = "custom"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(
    (
        EventType.REQUEST_COMPLETED,
        EventType.REQUEST_FAILED,
        EventType.REQUEST_ABORTED,
        EventType.REQUEST_INTERRUPTED,
    )
)


@frozen
class Event:
    """An event as it is emitted, before the store gives it its place in a log.

    ``payload`` is the JSON text of what events of this type say; the type's class in
    ``flowstate_server.model.payloads`` builds and reads it. ``item.done`` says nothing (``{}``): it carries its
    ``item``, which is stored once, as a row of its own; a transient one has no ``item`` and says it all.

    ``audiences`` says for whom the event is: an item event has its item's audiences.
    """

    type: EventType
    payload: bytes
    audiences: frozenset[Audience]
    transient: bool = False
    block_path: tuple[str, ...] = ()
    item: Item | None = None


@frozen
class LogHead:
    """Where a log stands: its newest sequence, and whether nothing follows. ``log_id`` is its incarnation.

    Up to ``floor`` durable events were removed for good (of a request's log it is 0); what is
    missing beyond was transient.
    """

    log_id: str
    sequence: int
    ended: bool
    floor: int = 0


class EventKey(NamedTuple):
    """An event by its place in the log of its session's present incarnation."""

    session: SessionKey
    session_sequence: int


@frozen
class EventRecord:
    """An event in its place: ``session_sequence`` in its session's log and, if it belongs to a request, ``sequence``
    in the request's (else 0). Both start at 1 and have no hole when written; sweeps of transient events make holes.
    """

    event: Event
    session: SessionKey
    session_log_id: str
    session_sequence: int
    request_id: str
    sequence: int
    time: Micros

    @property
    def key(self) -> EventKey:
        return EventKey(self.session, self.session_sequence)

    @property
    def size(self) -> int:
        """Bytes that count for the size of a page."""
        item = self.event.item
        return len(self.event.payload) + (0 if item is None else len(item.content))
