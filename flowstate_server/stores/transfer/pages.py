"""Walking through all that a store keeps, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from flowstate_server.model.events import EventRecord
from flowstate_server.model.records import IdempotencyKey, IdempotencyRecord, RequestRecord, StateRecord
from flowstate_server.model.scopes import RequestKey, ScopeKey, SessionKey
from flowstate_server.stores.contract.exporting import Exporting, StoredSession
from flowstate_server.stores.contract.pages import DamagedRecord

ROWS = 200
EVENTS = 500
BYTES = 1024 * 1024
"""Most records of a page, events of one, and bytes of either: a store has seconds for each, over whatever network."""

COPY_METHOD = "StoreCopy"
"""The method of the idempotency keys under which copies remember how far they are."""

Key = TypeVar("Key")
Row = TypeVar("Row")
OnDamage = Callable[[DamagedRecord], None]
"""Hears of a record that can't be understood, which is passed over; without it the walk ends with the error."""


async def session_pages(
    store: Exporting, after: SessionKey | None = None, on_damage: OnDamage | None = None
) -> AsyncIterator[Sequence[StoredSession]]:
    def read(place: SessionKey | None, limit: int) -> Awaitable[Sequence[StoredSession]]:
        return store.export_sessions(after=place, limit=limit)

    async for page in _pages(read, lambda one: one.key, after, ROWS, on_damage):
        yield page


async def request_pages(
    store: Exporting, after: RequestKey | None = None, on_damage: OnDamage | None = None
) -> AsyncIterator[Sequence[RequestRecord]]:
    def read(place: RequestKey | None, limit: int) -> Awaitable[Sequence[RequestRecord]]:
        return store.export_requests(after=place, limit=limit, max_bytes=BYTES)

    async for page in _pages(read, lambda one: one.key, after, ROWS, on_damage):
        yield page


async def state_pages(
    store: Exporting, after: ScopeKey | None = None, on_damage: OnDamage | None = None
) -> AsyncIterator[Sequence[StateRecord]]:
    def read(place: ScopeKey | None, limit: int) -> Awaitable[Sequence[StateRecord]]:
        return store.export_states(after=place, limit=limit, max_bytes=BYTES)

    async for page in _pages(read, lambda one: one.key, after, ROWS, on_damage):
        yield page


async def key_pages(
    store: Exporting, after: IdempotencyKey | None = None
) -> AsyncIterator[Sequence[IdempotencyRecord]]:
    """Idempotency keys, but for those of copies."""

    def read(place: IdempotencyKey | None, limit: int) -> Awaitable[Sequence[IdempotencyRecord]]:
        return store.export_idempotency_keys(after=place, limit=limit, max_bytes=BYTES)

    async for page in _pages(read, lambda one: one.key, after, ROWS, None):
        yield [one for one in page if one.key.method != COPY_METHOD]


async def event_pages(
    store: Exporting, session: SessionKey, log_id: str, after: int = 0, on_damage: OnDamage | None = None
) -> AsyncIterator[Sequence[EventRecord]]:
    def read(place: int | None, limit: int) -> Awaitable[Sequence[EventRecord]]:
        return store.export_events(session, log_id, after=place or 0, limit=limit, max_bytes=BYTES)

    async for page in _pages(read, lambda one: one.session_sequence, after, EVENTS, on_damage):
        yield page


async def _pages(
    read: Callable[[Key | None, int], Awaitable[Sequence[Row]]],
    key_of: Callable[[Row], Key],
    after: Key | None,
    most: int,
    on_damage: OnDamage | None,
) -> AsyncIterator[Sequence[Row]]:
    """Up to a damaged record, which makes its page fail, it goes on in pages of one."""
    limit = most
    while True:
        try:
            page = await read(after, limit)
        except DamagedRecord as damage:
            if on_damage is None:
                raise
            if limit == 1:
                on_damage(damage)
                after, limit = damage.key, most
            else:
                limit = 1
            continue
        if not page:
            return
        yield page
        after = key_of(page[-1])
