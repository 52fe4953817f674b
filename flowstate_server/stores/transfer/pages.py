"""Walking through all that a store keeps, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import IdempotencyKey, IdempotencyRecord, RequestRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.exporting import Exporting, StoredSession

ROWS = 200
"""Rows a page."""

EVENTS = 500
BYTES = 1024 * 1024
"""Events a page, and bytes of them."""

COPY_METHOD = "StoreCopy"
"""The method of the idempotency keys under which copies remember how far they are."""

Key = TypeVar("Key")
Row = TypeVar("Row")


async def session_pages(
    store: Exporting, after: SessionKey | None = None
) -> AsyncIterator[Sequence[StoredSession]]:
    def read(place: SessionKey | None) -> Awaitable[Sequence[StoredSession]]:
        return store.export_sessions(after=place, limit=ROWS)

    async for page in _pages(read, lambda one: one.record.key, after):
        yield page


async def request_pages(
    store: Exporting, after: RequestKey | None = None
) -> AsyncIterator[Sequence[RequestRecord]]:
    def read(place: RequestKey | None) -> Awaitable[Sequence[RequestRecord]]:
        return store.export_requests(after=place, limit=ROWS)

    async for page in _pages(read, lambda one: one.key, after):
        yield page


async def state_pages(
    store: Exporting, after: ScopeKey | None = None
) -> AsyncIterator[Sequence[StateRecord]]:
    def read(place: ScopeKey | None) -> Awaitable[Sequence[StateRecord]]:
        return store.export_states(after=place, limit=ROWS)

    async for page in _pages(read, lambda one: one.key, after):
        yield page


async def key_pages(
    store: Exporting, after: IdempotencyKey | None = None
) -> AsyncIterator[Sequence[IdempotencyRecord]]:
    """Idempotency keys, but for those of copies."""

    def read(place: IdempotencyKey | None) -> Awaitable[Sequence[IdempotencyRecord]]:
        return store.export_idempotency_keys(after=place, limit=ROWS)

    async for page in _pages(read, lambda one: one.key, after):
        yield [one for one in page if one.key.method != COPY_METHOD]


async def event_pages(
    store: Exporting, session: SessionKey, log_id: str, after: int = 0
) -> AsyncIterator[Sequence[EventRecord]]:
    while page := await store.export_events(session, log_id, after=after, limit=EVENTS, max_bytes=BYTES):
        yield page
        after = page[-1].session_sequence


async def _pages(
    read: Callable[[Key | None], Awaitable[Sequence[Row]]], key_of: Callable[[Row], Key], after: Key | None
) -> AsyncIterator[Sequence[Row]]:
    while page := await read(after):
        yield page
        after = key_of(page[-1])
