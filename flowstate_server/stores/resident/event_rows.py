"""What is read from the events of a log: its items, and how far it can be read."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping

from flowstate_server.model.events import EventKey, EventRecord, EventType
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.pages import DamagedRecord


def items_of(events: Iterable[EventRecord], turn: int = 0) -> Iterator[ItemRecord]:
    for record in events:
        item = record.event.item
        if item is not None and record.event.type is EventType.ITEM_DONE:
            yield ItemRecord(
                item,
                session=record.session,
                session_log_id=record.session_log_id,
                request_id=record.request_id,
                session_sequence=record.session_sequence,
                create_time=record.time,
                turn=turn,
            )


def up_to_damage(
    events: Iterator[EventRecord], damaged: Mapping[int, str], session: SessionKey, after: int
) -> Iterator[EventRecord]:
    place = min((place for place in damaged if place > after), default=None)
    for event in events:
        if place is not None and place <= event.session_sequence:
            break
        yield event
    if place is not None:
        raise DamagedRecord(EventKey(session, place), damaged[place])


def remove_places(log: list[EventRecord], gone: set[int], place_of: Callable[[EventRecord], int]) -> None:
    """Of a long log the part is written anew from which some go, and nothing before it."""
    first = bisect_left(log, min(gone), key=place_of)
    last = bisect_right(log, max(gone), lo=first, key=place_of)
    log[first:last] = [event for event in log[first:last] if place_of(event) not in gone]
