"""Items of a run: streams that blocks write, and the history that they read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    MessageTooLargeError,
    RequestTerminalError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.model.clock import system_micros
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.ids import new_id
from flowstate_server.model.item_content import check_content
from flowstate_server.model.items import Audience, Item, ItemKind, checked_audiences
from flowstate_server.model.json_values import EMPTY_OBJECT, Json, JsonObject, encode_json
from flowstate_server.model.payloads import ItemAdded, ItemDone
from flowstate_server.model.records import RequestHead
from flowstate_server.programs.history import HistoryItem, Tokens, Turns, select_history
from flowstate_server.programs.run_context import ItemStream, SessionItems
from flowstate_server.state.plain_json import plain_json
from flowstate_server.stores.store import Store

T = TypeVar("T")


def text_content(kind: ItemKind, text: str) -> JsonObject:
    """The content of an item that is nothing but text."""
    if kind is ItemKind.MESSAGE:
        return {"parts": [{"type": "text", "text": text}]}
    return {"text": text}


class RunItems:
    """The items of one run: gives them their index and id, and puts them into the log."""

    def __init__(self, recorder: Recorder, head: RequestHead, settings: EngineSettings) -> None:
        self._recorder = recorder
        self._head = head
        self._settings = settings
        self._next = 0
        self._open: dict[str, StreamedItem] = {}
        self.done: list[HistoryItem] = []

    def new(self, kind: ItemKind, role: str, name: str, audiences: Iterable[Audience]) -> Item:
        item = Item(
            item_id=new_id("item_"),
            kind=kind,
            index=self._next,
            content=b"",
            role=role,
            name=name,
            audiences=checked_audiences(audiences),
        )
        self._next += 1
        return item

    async def once_back(self, operation: Callable[[], Awaitable[T]]) -> T:
        """See :meth:`Recorder.once_back`."""
        return await self._recorder.once_back(operation)

    def added(self, item: Item, block_path: tuple[str, ...], transient: bool) -> None:
        payload = ItemAdded(item).encode()
        self._recorder.hold(Event(EventType.ITEM_ADDED, payload, item.audiences, transient, block_path))

    def finish(self, item: Item, content: Json, block_path: tuple[str, ...], transient: bool) -> HistoryItem:
        """Append the item's row with its ``item.done``. A transient one has no row, and is in no history."""
        whole = Item(
            item_id=item.item_id,
            kind=item.kind,
            index=item.index,
            content=encode_json(content),
            role=item.role,
            name=item.name,
            audiences=item.audiences,
        )
        payload = ItemDone(whole).encode() if transient else EMPTY_OBJECT
        kept = None if transient else whole
        self._recorder.hold(
            Event(EventType.ITEM_DONE, payload, item.audiences, transient, block_path, item=kept)
        )
        read = HistoryItem.of(whole, self._head.key.request_id, system_micros())
        if not transient:
            self.done.append(read)
        return read

    def add(
        self,
        kind: ItemKind,
        content: Json,
        *,
        role: str,
        name: str,
        audiences: Iterable[Audience],
        block_path: tuple[str, ...],
        transient: bool = False,
    ) -> HistoryItem:
        """Append a whole item."""
        if isinstance(content, str) and kind in (ItemKind.MESSAGE, ItemKind.REASONING):
            content = text_content(kind, content)
        check_content(kind, content)
        size = len(encode_json(content))
        if size > self._settings.max_item_bytes:
            raise MessageTooLargeError("The item's content", size, self._settings.max_item_bytes)
        item = self.new(kind, role, name, audiences)
        self.added(item, block_path, transient)
        return self.finish(item, content, block_path, transient)

    def stream(self, item: Item, block_path: tuple[str, ...], transient: bool = False) -> StreamedItem:
        limit = self._settings.max_item_bytes
        return StreamedItem(self, self._recorder, item, block_path, limit, transient)

    def opened(self, stream: StreamedItem) -> None:
        self._open[stream.item_id] = stream

    def closed(self, stream: StreamedItem) -> None:
        self._open.pop(stream.item_id, None)

    def close_open(self) -> None:
        """Append, with the text so far, the items whose streams never ended."""
        for stream in list(self._open.values()):
            stream.finish()


class StreamedItem(ItemStream):
    """An item in the making; ``async with`` adds it, the end of the ``with`` appends it."""

    def __init__(
        self,
        items: RunItems,
        recorder: Recorder,
        item: Item,
        block_path: tuple[str, ...],
        limit: int,
        transient: bool,
    ) -> None:
        self._items = items
        self._recorder = recorder
        self._item = item
        self._block_path = block_path
        self._limit = limit
        self._transient = transient
        self._pieces: list[str] = []
        self._size = 0
        self._finished = False

    @property
    def item_id(self) -> str:
        return self._item.item_id

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    async def write(self, text: str, /) -> None:
        self._recorder.check_open()
        if self._finished:
            raise RuntimeError("the item is finished")
        if not isinstance(text, str):
            raise ValidationFailedError((Violation("/text", "string_type", "must be a string"),))
        plain_json(text, "/text")
        size = self._size + len(text.encode())
        if size > self._limit:
            raise MessageTooLargeError("The item's text", size, self._limit)
        self._size = size
        self._recorder.hold_delta(
            self.item_id, len(self._pieces), text, self._item.audiences, self._block_path
        )
        self._pieces.append(text)
        await self._recorder.room()

    def finish(self) -> None:
        if not self._finished:
            self._finished = True
            self._items.closed(self)
            content = text_content(self._item.kind, self.text)
            self._items.finish(self._item, content, self._block_path, self._transient)

    async def __aenter__(self) -> Self:
        self._items.added(self._item, self._block_path, self._transient)
        self._items.opened(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.finish()
        except RequestTerminalError:
            if error is None:
                raise  # else that one says more


class RunHistory(SessionItems):
    """The window of a session's items, loaded when it is first asked for, and the items of the running request."""

    def __init__(self, store: Store, head: RequestHead, items: RunItems, window: int) -> None:
        self._store = store
        self._head = head
        self._items = items
        self._window = window
        self._turns: Sequence[HistoryItem] | None = None

    async def all(self) -> Sequence[HistoryItem]:
        if self._turns is None:
            records = await self._items.once_back(
                lambda: self._store.read_turns(
                    self._head.session, self._head.session_log_id, newest=self._window
                )
            )
            self._turns = [
                HistoryItem.of(record.item, record.request_id, record.create_time, record.turn)
                for record in records
            ]
        return [*self._turns, *self._items.done]

    async def client(self) -> Sequence[HistoryItem]:
        return [item for item in await self.all() if Audience.CLIENT in item.audiences]

    async def history(self, limit: Turns | Tokens | None = None) -> Sequence[HistoryItem]:
        return select_history(await self.all(), limit, running=self._head.key.request_id)
