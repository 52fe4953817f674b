"""Comparing two stores, record by record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from flowstate_server.model.json_values import canonical_json
from flowstate_server.model.records import IdempotencyRecord, RequestRecord, SessionRecord, StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.stores.contract.exporting import Exporting, StoredSession
from flowstate_server.stores.transfer.naming import Key, named
from flowstate_server.stores.transfer.pages import (
    event_pages,
    key_pages,
    request_pages,
    session_pages,
    state_pages,
)

Row = TypeVar("Row")


class HasKey(Protocol):
    @property
    def key(self) -> Key: ...


_KINDS = tuple(ScopeKind)


async def differences(one: Exporting, other: Exporting) -> AsyncIterator[str]:
    """What ``other`` keeps otherwise than ``one``, named by kind and key, never by value. Nothing: they are equal.

    Server processes that ``other`` has beside those of ``one`` count as none: what they ran would be different itself.
    """
    if not set(await one.read_processes()) <= set(await other.read_processes()):
        yield "processes"
    async for ours, theirs in _side_by_side(
        session_pages(one), session_pages(other), lambda stored: stored.key
    ):
        if ours is None or theirs is None or not _same_session(ours, theirs):
            yield _name(ours, theirs)
        else:
            async for difference in _in_log(one, other, ours):
                yield difference
    async for mine, its in _side_by_side(
        request_pages(one), request_pages(other), lambda request: request.key
    ):
        if mine is None or its is None or not _same_request(mine, its):
            yield _name(mine, its)
    async for state, its_state in _side_by_side(state_pages(one), state_pages(other), _state_place):
        if state != its_state:
            yield _name(state, its_state)
    async for key, its_key in _side_by_side(key_pages(one), key_pages(other), _key_place):
        if key != its_key:
            yield _name(key, its_key)


async def _in_log(one: Exporting, other: Exporting, stored: StoredSession) -> AsyncIterator[str]:
    key, log_id = stored.key, stored.record.log_id
    async for ours, theirs in _side_by_side(
        event_pages(one, key, log_id), event_pages(other, key, log_id), lambda record: record.session_sequence
    ):
        if ours != theirs:
            which = ours or theirs
            yield f"event {which.session_sequence if which else 0} of {named(key)}"


async def _side_by_side(
    pages: AsyncIterator[Sequence[Row]], others: AsyncIterator[Sequence[Row]], place: Callable[[Row], Any]
) -> AsyncIterator[tuple[Row | None, Row | None]]:
    """Rows of the same place together, ``None`` beside one that the other side lacks."""
    ours, theirs = aiter(_rows(pages)), aiter(_rows(others))
    mine, its = await anext(ours, None), await anext(theirs, None)
    while mine is not None or its is not None:
        if its is None or (mine is not None and place(mine) < place(its)):
            yield mine, None
            mine = await anext(ours, None)
        elif mine is None or place(its) < place(mine):
            yield None, its
            its = await anext(theirs, None)
        else:
            yield mine, its
            mine, its = await anext(ours, None), await anext(theirs, None)


async def _rows(pages: AsyncIterator[Sequence[Row]]) -> AsyncIterator[Row]:
    async for page in pages:
        for row in page:
            yield row


def _state_place(state: StateRecord) -> tuple[int, str, str, str]:
    key = state.key
    return _KINDS.index(key.kind), key.tenant, key.id, key.flow_kind


def _key_place(record: IdempotencyRecord) -> tuple[str, str, str, str]:
    key = record.key
    return key.tenant, key.principal, key.method, key.key


def _same_session(one: StoredSession, other: StoredSession) -> bool:
    return one.head == other.head and _comparable(one.record) == _comparable(other.record)


def _comparable(record: SessionRecord) -> tuple[SessionRecord, bytes]:
    """Numbers in it compare as JSON: 1 and 1.0 differ."""
    return replace(record, metadata={}), canonical_json(record.metadata)


def _same_request(one: RequestRecord, other: RequestRecord) -> bool:
    return one == other and _details(one) == _details(other)


def _details(request: RequestRecord) -> bytes:
    return b"" if request.failure is None else canonical_json(request.failure.details)


def _name(one: HasKey | None, other: HasKey | None) -> str:
    which = one or other
    assert which is not None
    missing = (
        " is missing in the first" if one is None else " is missing in the second" if other is None else ""
    )
    return named(which.key) + missing
