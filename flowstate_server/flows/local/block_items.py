"""Items of a run, as one block sees them."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

from flowstate_server.flows.local.batches import OpenedByAsyncWith
from flowstate_server.flows.local.begun_calls import Begun, BegunCall, TracksCalls, tracks_calls
from flowstate_server.programs.history import HistoryItem, Tokens, Turns
from flowstate_server.programs.run_context import ItemStream, SessionItems


@tracks_calls
class BlockItems(SessionItems, TracksCalls):
    written = "ctx.session.items"

    def __init__(self, items: SessionItems, begun: Begun) -> None:
        self._items = items
        self.begun = begun

    async def all(self) -> Sequence[HistoryItem]:
        return await self._items.all()

    async def client(self) -> Sequence[HistoryItem]:
        return await self._items.client()

    async def history(self, limit: Turns | Tokens | None = None) -> Sequence[HistoryItem]:
        return await self._items.history(limit)


class BlockStream(OpenedByAsyncWith, ItemStream, TracksCalls):
    """A streamed item: opened by ``async with``, to be written to in it."""

    written = "the item"

    def __init__(self, opening: AbstractAsyncContextManager[ItemStream], begun: Begun) -> None:
        self._opening = opening
        self.begun = begun

    @property
    def item_id(self) -> str:
        return self._stream.item_id

    @property
    def text(self) -> str:
        return self._stream.text

    # Called for each piece of a text: without a frame of its own it costs half.
    def write(self, text: str, /) -> Coroutine[Any, Any, None]:
        return BegunCall(self, "write", self._stream.write(text))

    async def __aenter__(self) -> Self:
        self._stream = await self._opening.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opening.__aexit__(kind, error, traceback)
