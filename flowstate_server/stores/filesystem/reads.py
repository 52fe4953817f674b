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
from flowstate_server.stores.contract.pages import page_of, those_understood
from flowstate_server.stores.contract.reads import (
    EventPage,
    ListedSession,
    Projection,
    SessionFilter,
    SessionPosition,
)
from flowstate_server.stores.filesystem.contents import Contents
from flowstate_server.stores.filesystem.event_log import Places
from flowstate_server.stores.filesystem.names import log_path
from flowstate_server.stores.filesystem.records import item_record


def list_sessions(
    contents: Contents, which: SessionFilter, limit: int, after: SessionPosition | None
) -> list[ListedSession]:
    keys = contents.tables.listed(which, after)
    heads = contents.tables.session_heads
    found = those_understood(keys, lambda key: key, contents.session)
    listed = (ListedSession(session, heads[session.key].activity_time) for session in found if session)
    return list(islice(listed, limit))


def load_states(contents: Contents, keys: Iterable[ScopeKey]) -> dict[ScopeKey, StateRecord]:
    return {key: contents.state(key) or StateRecord(key) for key in keys}


def read_events(
    contents: Contents, request: RequestKey, after: int, limit: int, max_bytes: int
) -> EventPage | None:
    head = contents.request_head(request)
    if head is None:
        return None
    _check_complete(contents, [request])
    places = contents.tables.places.get(request, Places())
    beyond = places.all[bisect_right(places.sequences, after) :]
    log = contents.tables.log(head.session, head.session_log_id)
    page = page_of(contents.events(log, beyond), limit, max_bytes) if beyond else []
    return EventPage(tuple(page), head, page[-1].sequence if len(page) < len(beyond) else head.sequence)


def read_turns(contents: Contents, session: SessionKey, log_id: str, newest: int) -> list[ItemRecord]:
    tables = contents.tables
    keys = tables.turns(session, log_id, newest)
    _check_complete(contents, keys)
    places = sorted(place for key in keys if key in tables.places for place in tables.places[key].items)
    if not places:
        return []
    return [item_record(event) for event in contents.events(tables.log(session, log_id), places)]


def _check_complete(contents: Contents, keys: Iterable[RequestKey]) -> None:
    for key in keys:
        if key in contents.tables.incomplete:
            head = contents.tables.requests[key]
            path = log_path(head.session, head.session_log_id)
            raise ValueError(f"{path} has damaged lines, and events of request {key.request_id} are missing")


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


def read_running(contents: Contents, process: str, limit: int) -> list[RequestRecord]:
    keys = contents.tables.running.get(process, ())
    found = those_understood(keys, lambda key: key, contents.request)
    return list(islice((replace(record, input=b"") for record in found if record), limit))


def read_cancelled(contents: Contents, process: str) -> list[RequestHead]:
    tables = contents.tables
    heads = [tables.requests[key] for key in tables.running.get(process, ())]
    return [head for head in heads if head.cancel_requested]
