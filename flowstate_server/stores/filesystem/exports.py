"""Everything the store keeps, page by page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from heapq import nsmallest
from operator import itemgetter
from typing import Any, TypeVar

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import IdempotencyKey, IdempotencyRecord, RequestRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.contract.exporting import StoredSession
from flowstate_server.stores.contract.pages import page_of, understood
from flowstate_server.stores.filesystem.contents import Contents
from flowstate_server.stores.filesystem.documents import Document
from flowstate_server.stores.filesystem.records import event_record

Key = TypeVar("Key")
Record = TypeVar("Record")

_KINDS = {kind: number for number, kind in enumerate(ScopeKind)}


def export_sessions(contents: Contents, after: SessionKey | None, limit: int) -> list[StoredSession]:
    heads = contents.tables.session_heads
    keys = _beyond((*contents.tables.sessions, *_damaged(contents, SessionKey)), tuple, after, limit)
    return [StoredSession(record, heads[record.key]) for record in _records(keys, contents.session)]


def export_requests(
    contents: Contents, after: RequestKey | None, limit: int, max_bytes: int
) -> list[RequestRecord]:
    sessions = contents.tables.sessions
    present = (
        key
        for key, head in contents.tables.requests.items()
        if sessions[head.session].log_id == head.session_log_id
    )
    keys = _beyond((*present, *_damaged(contents, RequestKey)), tuple, after, limit)
    return page_of(_records(keys, contents.request), limit, max_bytes)


def export_events(
    contents: Contents, session: SessionKey, log_id: str, after: int, limit: int, max_bytes: int
) -> list[EventRecord]:
    log = contents.tables.log(session, log_id)
    places = log.places[bisect_right(log.places, after) :][:limit]
    lines = zip(places, contents.lines(log, places), strict=True) if places else ()
    records = understood(
        lines, itemgetter(0), lambda line: event_record(Document(line[1]), log.session, log.log_id)
    )
    return page_of(records, limit, max_bytes)


def export_states(
    contents: Contents, after: ScopeKey | None, limit: int, max_bytes: int
) -> list[StateRecord]:
    keys = _beyond((*contents.tables.states, *_damaged(contents, ScopeKey)), _state_order, after, limit)
    return page_of(_records(keys, contents.state), limit, max_bytes)


def export_idempotency_keys(
    contents: Contents, after: IdempotencyKey | None, limit: int, max_bytes: int
) -> list[IdempotencyRecord]:
    keys = _beyond((*contents.tables.keys, *_damaged(contents, IdempotencyKey)), _key_order, after, limit)
    return page_of(_records(keys, contents.idempotency_key), limit, max_bytes)


def _damaged(contents: Contents, kind: type[Key]) -> Iterator[Key]:
    return (key for key in contents.tables.damaged if isinstance(key, kind))


def _beyond(keys: Iterable[Key], order: Callable[[Key], Any], after: Key | None, limit: int) -> list[Key]:
    """The next keys. It sorts no more than a page but looks at all, which is well for what one folder holds."""
    beyond = (key for key in keys if after is None or order(key) > order(after))
    return nsmallest(limit, beyond, key=order)


def _records(keys: Iterable[Key], read: Callable[[Key], Record | None]) -> Iterator[Record]:
    found = understood(keys, lambda key: key, read)
    return (record for record in found if record is not None)


def _state_order(key: ScopeKey) -> tuple[int, str, str, str]:
    return (_KINDS[key.kind], key.tenant, key.id, key.flow_kind)


def _key_order(key: IdempotencyKey) -> tuple[str, str, str, str]:
    return (key.tenant, key.principal, key.method, key.key)
