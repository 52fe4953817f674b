"""What a removal of items takes along, found by reading: nothing of it changes but by another removal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field

from flowstate_server.engine.bindings import Binding
from flowstate_server.engine.calls.items import ItemRemovalCall
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import ItemNotFoundError, RequestOpenError, ValidationFailedError, Violation
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.items import ItemRecord
from flowstate_server.model.payloads import (
    ItemAdded,
    ItemDelta,
    without_failure_text,
    without_name,
    without_output,
    without_text,
)
from flowstate_server.model.records import RequestRecord, RequestStatus, TurnKey
from flowstate_server.model.removals import (
    EmptiedRequest,
    ItemKey,
    ItemRemoval,
    Retold,
    decode_removals,
    removals_key,
)
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.item_writes import RemoveItems
from flowstate_server.stores.contract.lists import ItemPosition, ItemRange
from flowstate_server.stores.contract.writes import SessionChanged
from flowstate_server.stores.store import Store

MOST_ITEMS = 5_000
"""That one call removes: as many events are written with its commit."""
READ_AT_ONCE = 500


@dataclass(slots=True)
class _Found:
    """What goes besides the items: deltas and names by item, turns, requests of which nothing is left."""

    deltas: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    named: defaultdict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))
    turns: list[TurnKey] = field(default_factory=list)
    emptied: list[EmptiedRequest] = field(default_factory=list)

    def note_name(self, record: EventRecord, items: Collection[str]) -> None:
        """Note where one of ``items`` is named, if it is in this event."""
        if record.event.type is not EventType.ITEM_ADDED:
            return
        item = ItemAdded.decode(record.event.payload).item
        if item.name and item.item_id in items:
            self.named[item.item_id].append((record.session_sequence, without_name(record.event.payload)))


class RemovalReading:
    """Reads one incarnation of a session.

    Raises:
        SessionChanged: it is another one by now.
    """

    def __init__(self, store: Store, binding: Binding, settings: EngineSettings) -> None:
        self._store = store
        self._binding = binding
        self._settings = settings

    async def write(self, call: ItemRemovalCall) -> RemoveItems:
        """The write that removes what the call names.

        Raises:
            ItemNotFoundError: an item that it names was never there.
            RequestOpenError: a request has not ended that one of the items belongs to.
            ValidationFailedError: it would be too many.
        """
        binding = self._binding
        counter = removals_key(binding.key, binding.log_id)
        # Ahead of the items: a removal that comes meanwhile is noticed by it.
        seen = decode_removals((await self._store.load_documents((counter,))).get(counter))
        records = await self._named(call)
        found = await self._taken_along(records)
        items = [
            ItemRemoval(
                ItemKey(binding.key, binding.log_id, record.session_sequence),
                record.item.item_id,
                record.item.audiences,
                record.request_id,
                tuple(found.deltas[record.item.item_id]),
                tuple(found.named[record.item.item_id]),
            )
            for record in records
        ]
        return RemoveItems(
            binding.key, binding.log_id, tuple(items), seen, tuple(found.turns), tuple(found.emptied)
        )

    async def _named(self, call: ItemRemovalCall) -> Sequence[ItemRecord]:
        """In the order in which they were completed."""
        if call.ids is not None:
            found = await self._by_id(call.ids)
        elif call.newest is not None:
            found = await self._newest(call.newest)
        else:
            found = await self._after(call.after or "")
        return found[::-1]

    async def _by_id(self, ids: Sequence[str]) -> list[ItemRecord]:
        missing = dict.fromkeys(ids)
        found: list[ItemRecord] = []
        async for record in self._newest_first(with_removed=True):
            if record.item.item_id in missing:
                del missing[record.item.item_id]
                if not record.item.removed:
                    found.append(record)
                if not missing:
                    return found
        raise ItemNotFoundError(next(iter(missing)))

    async def _newest(self, count: int) -> list[ItemRecord]:
        found: list[ItemRecord] = []
        async for record in self._newest_first(with_removed=False, limit=count):
            found.append(record)
            if len(found) == count:
                break
        return found

    async def _after(self, item_id: str) -> list[ItemRecord]:
        found: list[ItemRecord] = []
        async for record in self._newest_first(with_removed=True):
            if record.item.item_id == item_id:
                return found
            if not record.item.removed:
                found.append(record)
                if len(found) > MOST_ITEMS:
                    problem = f"over {MOST_ITEMS} items come after it, remove the newest first"
                    raise ValidationFailedError((Violation("after_item_id", "too_many", problem),))
        raise ItemNotFoundError(item_id)

    async def _newest_first(
        self, *, with_removed: bool, limit: int = READ_AT_ONCE
    ) -> AsyncIterator[ItemRecord]:
        which = ItemRange(
            self._binding.key, self._binding.log_id, newest_first=True, with_removed=with_removed
        )
        after: ItemPosition | None = None
        while True:
            page = await self._store.list_items(
                which, limit=limit, max_bytes=self._settings.max_page_bytes, after=after
            )
            if page is None:
                raise SessionChanged
            for record in page.items:
                yield record
            if page.end is None:
                return
            after = page.end

    async def _taken_along(self, records: Sequence[ItemRecord]) -> _Found:
        by_request: defaultdict[str, list[ItemRecord]] = defaultdict(list)
        for record in records:
            by_request[record.request_id].append(record)
        found = _Found()
        outside = by_request.pop("", [])
        completed: set[str] = set()
        for request_id, items in by_request.items():
            request = await self._ended(request_id)
            if request is None:  # it is just going as a whole
                continue
            failed: list[tuple[int, bytes]] = []
            end = await self._read_log(request, {record.item.item_id for record in items}, found, failed)
            which = ItemRange(self._binding.key, self._binding.log_id, request_id=request_id)
            if await self._are_all(which, items):
                found.emptied.append(_emptied(request, end, tuple(failed)))
                if request.head.status is RequestStatus.COMPLETED:
                    completed.add(request_id)
        for record in outside:
            if record.item.name:
                await self._find_name(record, found)
        if completed or outside:
            await self._find_turns(completed, outside, found)
        return found

    async def _ended(self, request_id: str) -> RequestRecord | None:
        request = await self._store.get_request(RequestKey(self._binding.key.tenant, request_id))
        if request is not None and request.head.status.open:
            raise RequestOpenError(request_id)
        return request

    async def _find_name(self, record: ItemRecord, found: _Found) -> None:
        """Where an item from outside was begun: its two events were written one behind the other."""
        page = await self._store.read_events(
            self._binding.key, after=record.session_sequence - 2, limit=1, max_bytes=0
        )
        if page is None:
            raise SessionChanged
        for event in page.events:
            found.note_name(event, {record.item.item_id})

    async def _read_log(
        self,
        request: RequestRecord,
        items: Collection[str],
        found: _Found,
        failed: list[tuple[int, bytes]],
    ) -> EventRecord:
        """The event that ends the request; what goes of ``items`` is noted in ``found``, blocks that have ``failed``
        there."""
        position = 0
        while True:
            page = await self._store.read_events(
                request.key,
                after=position,
                limit=READ_AT_ONCE,
                max_bytes=self._settings.max_page_bytes,
            )
            if page is None:
                raise SessionChanged
            for record in page.events:
                if record.event.type is EventType.ITEM_DELTA:
                    item_id = ItemDelta.decode(record.event.payload).item_id
                    if item_id in items:
                        found.deltas[item_id].append(record.session_sequence)
                elif record.event.type is EventType.BLOCK_FAILED:
                    failed.append((record.session_sequence, without_failure_text(record.event.payload)))
                else:
                    found.note_name(record, items)
            if page.end >= page.head.sequence:
                return page.events[-1]
            position = page.end

    async def _are_all(self, which: ItemRange, items: Sequence[ItemRecord]) -> bool:
        """Whether nothing is left of what ``which`` lists once ``items`` are gone."""
        going = {record.item.item_id for record in items}
        after: ItemPosition | None = None
        while True:
            page = await self._store.list_items(
                which, limit=READ_AT_ONCE, max_bytes=self._settings.max_page_bytes, after=after
            )
            if page is None:
                raise SessionChanged
            if any(record.item.item_id not in going for record in page.items):
                return False
            if page.end is None:
                return True
            after = page.end

    async def _find_turns(self, completed: set[str], outside: Sequence[ItemRecord], found: _Found) -> None:
        """The turns of which nothing is left: of ``completed`` requests, and perhaps those of ``outside`` items."""
        binding = self._binding
        left = {record.session_sequence: record for record in outside}
        before: int | None = None
        while completed or left:
            turns = await self._store.list_turns(
                binding.key, binding.log_id, limit=READ_AT_ONCE, before=before
            )
            for turn in turns:
                if turn.request_id in completed:
                    completed.remove(turn.request_id)
                    found.turns.append(turn.key)
                elif not turn.request_id:
                    items = [left.pop(place) for place in sorted(left) if turn.first <= place <= turn.last]
                    number = turn.key.number
                    which = ItemRange(binding.key, binding.log_id, turns=(number, number))
                    if items and await self._are_all(which, items):
                        found.turns.append(turn.key)
            if len(turns) < READ_AT_ONCE:
                return
            before = turns[-1].key.number


def _emptied(request: RequestRecord, end: EventRecord, failed: Retold) -> EmptiedRequest:
    head, failure = request.head, request.failure
    payload = end.event.payload
    if end.event.type is EventType.REQUEST_COMPLETED:
        payload = without_output(payload)
    elif end.event.type is EventType.REQUEST_FAILED:
        payload = without_failure_text(payload)
    left = None if failure is None else without_text(failure)
    return EmptiedRequest(
        head.key, head.session, head.session_log_id, end.session_sequence, payload, left, failed
    )
