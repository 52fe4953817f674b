"""What a snapshot answers to lists of conversations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from examples.custom_store.reads import items_of_turn
from examples.custom_store.snapshot import Snapshot, own
from flowstate_server.model.clock import Micros
from flowstate_server.model.events import EventType
from flowstate_server.model.items import ItemRecord, is_for
from flowstate_server.model.records import RequestRecord, TurnRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.lists import (
    ItemPage,
    ItemPosition,
    ItemRange,
    RequestFilter,
    RequestPage,
    RequestPosition,
    item_position,
    request_size,
)
from flowstate_server.stores.contract.pages import cut
from flowstate_server.stores.contract.tables import REQUESTS, SESSIONS, TURNS


def items(
    snapshot: Snapshot, which: ItemRange, limit: int, max_bytes: int, after: ItemPosition | None
) -> ItemPage | None:
    if not _lives(snapshot, which.session, which.log_id):
        return None
    found = sorted(_listed(snapshot, which), key=_place, reverse=which.newest_first)
    if after is not None:
        known = (after.turn, after.index, after.session_sequence)
        found = [one for one in found if (_place(one) < known if which.newest_first else _place(one) > known)]
    page, more = cut(found, limit, max_bytes, lambda record: len(record.item.content))
    return ItemPage(page, item_position(page[-1]) if more else None)


def turns_before(
    snapshot: Snapshot, session: SessionKey, log_id: str, before: int | None, limit: int
) -> list[TurnRecord]:
    kept = [one for key, one in snapshot.of(TURNS).items() if (key.session, key.log_id) == (session, log_id)]
    kept.sort(key=lambda turn: turn.key.number, reverse=True)
    return [turn for turn in kept if before is None or turn.key.number < before][:limit]


def turn_numbers(snapshot: Snapshot, session: SessionKey, log_id: str) -> list[int]:
    return sorted(key.number for key in snapshot.of(TURNS) if (key.session, key.log_id) == (session, log_id))


def requests(
    snapshot: Snapshot, which: RequestFilter, limit: int, max_bytes: int, after: RequestPosition | None
) -> RequestPage:
    found = [
        own(one if which.with_payloads else replace(one, input=b"", output=None))
        for one in snapshot.of(REQUESTS).values()
        if one.key.tenant == which.tenant
        and which.session in (None, (one.head.session, one.head.session_log_id))
        and which.picks(one)
        and _lives(snapshot, one.head.session, one.head.session_log_id)
    ]
    found.sort(key=_order, reverse=True)
    if after is not None:
        found = [one for one in found if _order(one) < (after.create_time, after.request_id)]
    page, more = cut(found, limit, max_bytes, request_size)
    return RequestPage(page, RequestPosition(*_order(page[-1])) if more else None)


def _lives(snapshot: Snapshot, session: SessionKey, log_id: str) -> bool:
    record = snapshot.of(SESSIONS).get(session)
    return record is not None and not record.deleted and record.log_id == log_id


def _listed(snapshot: Snapshot, which: ItemRange) -> Iterable[ItemRecord]:
    for record in _all(snapshot, which):
        item = record.item
        there = which.with_removed or not item.removed
        if there and (which.audience is None or is_for(item.audiences, which.audience)):
            yield record


def _all(snapshot: Snapshot, which: ItemRange) -> Iterable[ItemRecord]:
    log = snapshot.events.get((which.session, which.log_id), ())
    if which.turns is not None:
        first, last = which.turns
        for key, turn in snapshot.of(TURNS).items():
            if (key.session, key.log_id) == (which.session, which.log_id) and first <= key.number <= last:
                yield from items_of_turn(turn, log)
        return
    of_request = (one for one in log if which.request_id in ("", one.request_id))
    for one in of_request:
        item = one.event.item
        if item is not None and one.event.type is EventType.ITEM_DONE:
            yield ItemRecord(
                item, one.session, one.session_log_id, one.request_id, one.session_sequence, one.time
            )


def _place(record: ItemRecord) -> tuple[int, int, int]:
    return record.turn, record.item.index if record.turn else 0, record.session_sequence


def _order(request: RequestRecord) -> tuple[Micros, str]:
    return request.head.create_time, request.key.request_id
