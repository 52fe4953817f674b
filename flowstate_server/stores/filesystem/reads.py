"""The reads of the store contract, each one function on the store's thread."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from operator import attrgetter

from flowstate_server.model.clock import Micros
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.records import ProcessRecord, RequestHead, RequestRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.pages import page_of
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.filesystem.contents import Contents
from flowstate_server.stores.filesystem.event_log import Places
from flowstate_server.stores.filesystem.records import item_record


def list_sessions(
    contents: Contents, which: SessionFilter, limit: int, after: SessionPosition | None
) -> list[ListedSession]:
    listed = []
    for key in islice(contents.tables.listed(which, after), limit):
        session = contents.session(key)
        if session is not None:
            listed.append(ListedSession(session, contents.tables.session_heads[key].activity_time))
    return listed


def load_states(contents: Contents, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    return {key: contents.state(key) or StateRecord(key) for key in keys}


def read_events(
    contents: Contents, request: RequestKey, after: int, limit: int, max_bytes: int
) -> EventPage | None:
    head = contents.tables.requests.get(request)
    if head is None:
        return None
    places = contents.tables.places.get(request, Places())
    beyond = places.all[bisect_right(places.sequences, after) :]
    log = contents.tables.log(head.session, head.session_log_id)
    page = page_of(contents.events(log, beyond), limit, max_bytes) if beyond else []
    return EventPage(tuple(page), head, page[-1].sequence if len(page) < len(beyond) else head.sequence)


def read_turns(contents: Contents, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
    tables = contents.tables
    keys = tables.turns(session, log_id, newest)
    places = sorted(place for key in keys if key in tables.places for place in tables.places[key].items)
    if not places:
        return []
    return [item_record(event) for event in contents.events(tables.log(session, log_id), places)]


def read_projection(
    contents: Contents, session: SessionKey, scopes: Iterable[ScopeKey], clock: Callable[[], Micros]
) -> Projection | None:
    record = contents.session(session)
    if record is None or record.deleted:
        return None
    tables = contents.tables
    active = tuple(tables.requests[key] for key in tables.active.get(session, ()))
    return Projection(record, tables.session_heads[session], load_states(contents, scopes), active, clock())


def read_processes(contents: Contents) -> Sequence[ProcessRecord]:
    return sorted(contents.tables.processes.values(), key=attrgetter("process"))


def read_unfinished(contents: Contents, process: str, limit: int) -> list[RequestRecord]:
    keys = islice(contents.tables.running.get(process, ()), limit)
    found = [contents.request(key) for key in keys]
    return [replace(record, input=b"") for record in found if record is not None]


def read_cancelled(contents: Contents, process: str) -> list[RequestHead]:
    tables = contents.tables
    heads = [tables.requests[key] for key in tables.running.get(process, ())]
    return [head for head in heads if head.cancel_requested]
