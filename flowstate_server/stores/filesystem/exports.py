"""Everything the store keeps, page by page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from heapq import nsmallest
from typing import Any, TypeVar

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import IdempotencyKey, IdempotencyRecord, RequestRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, ScopeKind, SessionKey
from flowstate_server.stores.contract.exporting import StoredSession
from flowstate_server.stores.filesystem.contents import Contents
from flowstate_server.stores.filesystem.reads import page_of

Key = TypeVar("Key")
Record = TypeVar("Record")

_KINDS = {kind: number for number, kind in enumerate(ScopeKind)}


def export_sessions(contents: Contents, after: SessionKey | None, limit: int) -> list[StoredSession]:
    heads = contents.tables.session_heads
    found = _page(contents.tables.sessions, tuple, after, limit, contents.session)
    return [StoredSession(record, heads[record.key]) for record in found]


def export_requests(contents: Contents, after: RequestKey | None, limit: int) -> list[RequestRecord]:
    sessions = contents.tables.sessions
    present = (
        key
        for key, head in contents.tables.requests.items()
        if sessions[head.session].log_id == head.session_log_id
    )
    return _page(present, tuple, after, limit, contents.request)


def export_events(
    contents: Contents, session: SessionKey, log_id: str, after: int, limit: int, max_bytes: int
) -> list[EventRecord]:
    log = contents.tables.log(session, log_id)
    beyond = log.places[bisect_right(log.places, after) :]
    return page_of(contents.events(log, beyond), limit, max_bytes) if beyond else []


def export_states(contents: Contents, after: ScopeKey | None, limit: int) -> list[StateRecord]:
    return _page(contents.tables.states, _state_order, after, limit, contents.state)


def export_idempotency_keys(
    contents: Contents, after: IdempotencyKey | None, limit: int
) -> list[IdempotencyRecord]:
    return _page(contents.tables.keys, _key_order, after, limit, contents.idempotency_key)


def _page(
    keys: Iterable[Key],
    order: Callable[[Key], Any],
    after: Key | None,
    limit: int,
    read: Callable[[Key], Record | None],
) -> list[Record]:
    """Sorts no more than a page; every page looks at every key, which is well for what one folder holds."""
    beyond = (key for key in keys if after is None or order(key) > order(after))
    found = (read(key) for key in nsmallest(limit, beyond, key=order))
    return [record for record in found if record is not None]


def _state_order(key: ScopeKey) -> tuple[int, str, str, str]:
    return (_KINDS[key.kind], key.tenant, key.id, key.flow_kind)


def _key_order(key: IdempotencyKey) -> tuple[str, str, str, str]:
    return (key.tenant, key.principal, key.method, key.key)
