"""What a store answers to reads. Every list is a page by key, never "load all and filter"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey
from flowstate_server.model.events import EventRecord, LogHead
from flowstate_server.model.frozen import frozen
from flowstate_server.model.identity import Tenant
from flowstate_server.model.records import RequestHead, SessionHead, SessionRecord, StateRecord, TurnRecord
from flowstate_server.model.scopes import ScopeKey, SessionKey


@frozen
class SessionFilter:
    """Which sessions of one tenant to list; a part left ``None`` does not filter (an empty ``org_id`` means: none).

    ``labels`` are those of ``model.session_labels`` that a session must have, all of them, each named once;
    ``active_after`` leaves out where nothing happened after that time: nothing was written in the session.
    """

    tenant: Tenant
    flow_kind: str | None = None
    user_id: str | None = None
    org_id: str | None = None
    include_ephemeral: bool = False
    labels: tuple[bytes, ...] = ()
    active_after: Micros | None = None


@frozen
class SessionPosition:
    """Where a page of sessions ended: at a create time and an id. Listing goes newest first, ties by id descending."""

    create_time: Micros
    session_id: str


def position_of(session: SessionRecord) -> SessionPosition:
    return SessionPosition(session.create_time, session.key.session_id)


@frozen
class ListedSession:
    record: SessionRecord
    activity_time: Micros


@frozen
class ListedSessions:
    """A page of sessions. ``next`` is where the list goes on, ``None`` where it has ended.

    A page may have fewer sessions than were asked for, even none, and the list yet go on: where several filters meet,
    a store looks through no more than some of the sessions for one page.
    """

    sessions: Sequence[ListedSession]
    next: SessionPosition | None


@frozen
class SessionLife:
    """What is known of a live session without its metadata; by its head it is judged how old it is."""

    key: SessionKey
    log_id: str
    flow_kind: str
    ephemeral: bool
    head: SessionHead


Place = tuple[Any, ...]
"""Where a walk has come to. Only the store that gave it can tell what it means."""


@frozen
class SessionWalk:
    """Some sessions, and the place from which the walk goes on; ``None`` at its end."""

    sessions: Sequence[SessionLife]
    next: Place | None


@frozen
class OldestTurns:
    """The first turns of a session, and how many there are in all."""

    turns: tuple[TurnRecord, ...]
    count: int


@frozen
class EventPage:
    """Events of one log after a cursor, in order, with the log's head from the same consistent read.

    ``end`` is the sequence up to which the page is complete: the last event of a page cut by its limits, else the
    head's ``sequence``. A sequence missing between the cursor and ``end`` belongs to an event that was removed:
    transient, or up to the head's ``floor``.
    """

    events: tuple[EventRecord, ...]
    head: LogHead
    end: int


@frozen
class Projection:
    """States, documents, session head and open requests of one session, all from one consistent read at ``time``.

    ``states`` has a record (perhaps one that does not exist) for each scope asked for, ``documents`` those that exist.
    ``active`` are the open requests of the session's present incarnation, the oldest first.
    """

    session: SessionRecord
    head: SessionHead
    states: Mapping[ScopeKey, StateRecord]
    active: tuple[RequestHead, ...]
    time: Micros
    documents: Mapping[DocumentKey, Document] = field(default_factory=dict)
