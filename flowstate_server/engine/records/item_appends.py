"""Adding items from outside of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from flowstate_server.engine.bindings import Bindings
from flowstate_server.engine.calls.items import ItemAppend, ItemsAppended, NewItem
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    MessageTooLargeError,
    RequestNotFoundError,
    StoreUnavailableError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.clock import micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id, new_id
from flowstate_server.model.item_content import check_content
from flowstate_server.model.items import INTERNAL, Item, ItemKind, ItemRecord
from flowstate_server.model.json_values import EMPTY_OBJECT, encode_json
from flowstate_server.model.payloads import ItemAdded
from flowstate_server.model.records import IdempotencyKey
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.item_writes import AppendItems
from flowstate_server.stores.contract.writes import PutIdempotencyKey, SessionChanged, Write
from flowstate_server.stores.store import Store

# Attempts. Each is lost only when the session was deleted and made anew just then, so a second is hardly ever needed.
RACES = 5
# Read of the end of a request's log at first. More than one item, for the case that some were begun at that moment.
LAST_EVENTS = 64
MAX_CONTENT_BYTES = 3_584 * 1024
"""Of all items of a call: the answer has them all, and some room below the message limit."""


class ItemAppends:
    def __init__(self, store: Store, bindings: Bindings, settings: EngineSettings) -> None:
        self._store = store
        self._bindings = bindings
        self._settings = settings

    async def append(self, principal: Principal, append: ItemAppend) -> ItemsAppended:
        """All items in their order, in the log of the request or as one turn of their own; or none."""
        new = self._checked(append.items)
        check_id("request_id", append.request_id, required=False)
        remembered = self._remembered(principal, append)
        for _ in range(RACES):
            binding = await self._bindings.owned(principal, append.session_id)
            request = RequestKey(binding.key.tenant, append.request_id) if append.request_id else None
            items = new if request is None else _at(new, await self._next_index(request))
            write = AppendItems(binding.key, binding.log_id, _events(items), request)
            try:
                result = await self._store.commit((*remembered, write))
            except SessionChanged:
                self._bindings.forget(binding.key)
                continue
            if result.replayed:
                return ItemsAppended(result.results[-1].ids, (), replayed=True)
            stored = [
                ItemRecord(item, binding.key, binding.log_id, append.request_id, 0, result.time)
                for item in items
            ]
            return ItemsAppended([item.item_id for item in items], stored, replayed=False)
        raise StoreUnavailableError

    def _checked(self, items: Sequence[NewItem]) -> Sequence[Item]:
        if not 1 <= len(items) <= self._settings.max_page_size:
            problem = f"must be 1 to {self._settings.max_page_size} items"
            raise ValidationFailedError((Violation("items", "range", problem),))
        checked = [self._checked_item(item, index) for index, item in enumerate(items)]
        size = sum(len(item.content) for item in checked)
        if size > MAX_CONTENT_BYTES:
            raise MessageTooLargeError("The content of all items", size, MAX_CONTENT_BYTES)
        return checked

    def _checked_item(self, new: NewItem, index: int) -> Item:
        path = f"items[{index}]"
        try:
            kind = ItemKind(new.kind)
        except ValueError:
            problem = f"must be one of {', '.join(ItemKind)}"
            raise ValidationFailedError((Violation(f"{path}.kind", "enum", problem),)) from None
        check_id(f"{path}.role", new.role, required=False)
        check_id(f"{path}.name", new.name, required=False)
        try:
            check_content(kind, new.content)
        except ValidationFailedError as error:
            placed = [Violation(f"{path}.{one.path[1:]}", one.rule, one.message) for one in error.violations]
            raise ValidationFailedError(tuple(placed)) from None
        content = encode_json(new.content)
        if len(content) > self._settings.max_item_bytes:
            raise MessageTooLargeError(f"The content of {path}", len(content), self._settings.max_item_bytes)
        return Item(
            item_id=new_id("item_"),
            kind=kind,
            index=index,
            content=content,
            role=new.role,
            name=new.name,
            audiences=frozenset(new.audiences) or INTERNAL,
        )

    def _remembered(self, principal: Principal, append: ItemAppend) -> tuple[Write, ...]:
        check_id("idempotency_key", append.idempotency_key, required=False)
        if not append.idempotency_key:
            return ()
        key = IdempotencyKey(principal.tenant, principal.key, "AppendItems", append.idempotency_key)
        return (PutIdempotencyKey(key, append.fingerprint, micros(self._settings.idempotency_window)),)

    async def _next_index(self, request: RequestKey) -> int:
        """The index of the item that the run begins next, as far as its log tells.

        The run counts for itself, and is not told of items from outside. With this index they come after all that were
        begun before and, by their places, before the one that gets it. The newest item of the log tells it, one of the
        run by its own index, one from outside by that which it was given: of a long log only the end is read.
        """
        first = await self._store.read_events(request, after=0, limit=1, max_bytes=0)
        if first is None:
            raise RequestNotFoundError(request.request_id)
        end, count = first.head.sequence, LAST_EVENTS
        while True:
            start = max(0, end - count)
            indexes = [index async for index in self._next_indexes(request, start, end)]
            if indexes or not start:
                return max(indexes, default=0)
            end, count = start, count * 4

    async def _next_indexes(self, request: RequestKey, start: int, end: int) -> AsyncIterator[int]:
        """What each item that was begun between these places of the log says of the index that comes next."""
        settings = self._settings
        while start < end:
            limit = min(end - start, settings.batch_events)
            page = await self._store.read_events(
                request, after=start, limit=limit, max_bytes=settings.max_page_bytes
            )
            if page is None:
                raise RequestNotFoundError(request.request_id)
            for record in page.events:
                if record.event.type is EventType.ITEM_ADDED:
                    index = ItemAdded.decode(record.event.payload).item.index
                    yield index + 1 if record.event.block_path else index
            start = page.end


def _at(items: Sequence[Item], index: int) -> Sequence[Item]:
    return [
        Item(item.item_id, item.kind, index, item.content, item.role, item.name, item.audiences)
        for item in items
    ]


def _events(items: Sequence[Item]) -> tuple[Event, ...]:
    events: list[Event] = []
    for item in items:
        events.append(Event(EventType.ITEM_ADDED, ItemAdded(item).encode(), item.audiences))
        events.append(Event(EventType.ITEM_DONE, EMPTY_OBJECT, item.audiences, item=item))
    return tuple(events)
