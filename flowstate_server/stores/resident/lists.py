"""The lists of the store contract, each one function that holds the tables."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from operator import attrgetter

from flowstate_server.model.events import EventRecord
from flowstate_server.model.items import ItemRecord, is_for
from flowstate_server.model.records import RequestRecord, TurnKey, TurnRecord
from flowstate_server.model.scopes import RequestKey, SessionKey
from flowstate_server.stores.contract.lists import (
    SCANNED,
    ItemPage,
    ItemPosition,
    ItemRange,
    Lists,
    RequestFilter,
    RequestPage,
    RequestPosition,
    item_position,
    request_size,
)
from flowstate_server.stores.contract.pages import cut
from flowstate_server.stores.resident.copies import own_request
from flowstate_server.stores.resident.tables import ResidentPort, Tables, items_of

FARTHEST = 2**62
"""Beyond every ``session_sequence``, and every number of a turn."""

_sequence = attrgetter("session_sequence")


class ResidentLists(ResidentPort, Lists):
    async def list_items(
        self, which: ItemRange, *, limit: int, max_bytes: int, after: ItemPosition | None = None
    ) -> ItemPage | None:
        with self._tables as tables:
            session = tables.sessions.get(which.session)
            if session is None or session.deleted or session.log_id != which.log_id:
                return None
            found = _in_order(tables, which, after) if which.turns is None else _by_turn(tables, which, after)
            picked = (record for record in found if _is_picked(record, which))
            page, more = cut(picked, limit, max_bytes, lambda record: len(record.item.content))
            return ItemPage(page, item_position(page[-1]) if more else None)

    async def newest_turns(self, session: SessionKey, log_id: str, *, newest: int) -> tuple[int, int] | None:
        with self._tables as tables:
            numbers = tables.newest_turns(session, log_id, newest)
            return (numbers[0], numbers[-1]) if numbers else None

    async def list_turns(
        self, session: SessionKey, log_id: str, *, limit: int, before: int | None = None
    ) -> Sequence[TurnRecord]:
        with self._tables as tables:
            below = FARTHEST if before is None else before - 1
            numbers = tables.turns_between(session, log_id, 1, below)[-limit:]
            return [tables.turns[TurnKey(session, log_id, number)] for number in reversed(numbers)]

    async def list_requests(
        self, which: RequestFilter, *, limit: int, max_bytes: int, after: RequestPosition | None = None
    ) -> RequestPage:
        with self._tables as tables:
            page: list[RequestRecord] = []
            size = 0
            last = after
            for looked_at, place in enumerate(_places(tables, which, after)):
                if looked_at == SCANNED and not which.only_open:
                    return RequestPage(page, last)
                record = _listed(tables, which, place)
                if record is not None:
                    size += request_size(record)
                    if page and (len(page) >= limit or size > max_bytes):
                        return RequestPage(page, last)
                    page.append(record)
                last = place
            return RequestPage(page, None)


def _in_order(tables: Tables, which: ItemRange, after: ItemPosition | None) -> Iterator[ItemRecord]:
    place = after.session_sequence if after is not None else FARTHEST if which.newest_first else 0
    if not which.request_id:
        down = which.newest_first
        return items_of(tables.session_log(which.session, which.log_id, place, newest_first=down))
    log = tables.request_log(RequestKey(which.session.tenant, which.request_id))
    if which.newest_first:
        return items_of(reversed(log[: bisect_left(log, place, key=_sequence)]))
    return items_of(islice(log, bisect_right(log, place, key=_sequence), None))


def _by_turn(tables: Tables, which: ItemRange, after: ItemPosition | None) -> Iterator[ItemRecord]:
    first, last = which.turns or (1, 0)
    sign = -1 if which.newest_first else 1
    if after is not None:
        first, last = (first, after.turn) if which.newest_first else (after.turn, last)
    for number in tables.turns_between(which.session, which.log_id, first, last)[::sign]:
        events = _events_of(tables, tables.turns[TurnKey(which.session, which.log_id, number)])
        for item in sorted(items_of(events, number), key=_place, reverse=which.newest_first):
            if after is None or sign * _compared(_place(item), after) > 0:
                yield item


def _events_of(tables: Tables, turn: TurnRecord) -> Iterable[EventRecord]:
    session, log_id, _ = turn.key
    if turn.request_id:
        return tables.request_log(RequestKey(session.tenant, turn.request_id))
    log = tables.session_log(session, log_id, turn.first - 1)
    return takewhile(lambda event: event.session_sequence <= turn.last, log)


def _place(record: ItemRecord) -> tuple[int, int, int]:
    return record.turn, record.item.index, record.session_sequence


def _compared(place: tuple[int, int, int], after: ItemPosition) -> int:
    """1 beyond ``after``, -1 before it, 0 at it."""
    known = after.turn, after.index, after.session_sequence
    return (place > known) - (place < known)


def _is_picked(record: ItemRecord, which: ItemRange) -> bool:
    item = record.item
    there = which.with_removed or not item.removed
    return there and (which.audience is None or is_for(item.audiences, which.audience))


def _places(tables: Tables, which: RequestFilter, after: RequestPosition | None) -> Iterable[RequestPosition]:
    if not which.only_open:
        return tables.request_lists.newest_first(which, after)
    heads = (head for head in tables.open_everywhere() if head.key.tenant == which.tenant)
    places = sorted(((head.create_time, head.key.request_id) for head in heads), reverse=True)
    bound = None if after is None else (after.create_time, after.request_id)
    return (RequestPosition(*place) for place in places if bound is None or place < bound)


def _listed(tables: Tables, which: RequestFilter, place: RequestPosition) -> RequestRecord | None:
    """The request there as it is listed; ``None`` if it is not."""
    record = tables.requests.get(RequestKey(which.tenant, place.request_id))
    if record is None or not which.picks(record):
        return None
    session = tables.sessions.get(record.head.session)
    if session is None or session.deleted or session.log_id != record.head.session_log_id:
        return None
    return own_request(record if which.with_payloads else replace(record, input=b"", output=None))
