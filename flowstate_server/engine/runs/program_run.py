"""A run as its program sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowstate_server.engine.runs.items import StreamedItem
from flowstate_server.engine.runs.run_parts import RunParts
from flowstate_server.engine.runs.scope_handle import RunScope
from flowstate_server.model.events import Event
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.history import HistoryItem
from flowstate_server.programs.run_context import SessionIdentity, SessionItems, SessionMetadata


class ProgramRun:
    """Implements ``programs.run_context.RunContext``."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._recorder = parts.recorder

    @property
    def request_id(self) -> str:
        return self._parts.head.key.request_id

    @property
    def identity(self) -> SessionIdentity:
        return self._parts.session.identity

    @property
    def scopes(self) -> Mapping[ScopeKind, RunScope]:
        return self._parts.scopes

    @property
    def items(self) -> SessionItems:
        return self._parts.session.history

    @property
    def metadata(self) -> SessionMetadata:
        return self._parts.session.metadata

    async def set_metadata(self, fields: JsonObject, /) -> SessionMetadata:
        return await self._parts.session.set_metadata(fields)

    def hold(self, event: Event, /) -> None:
        self._recorder.hold(event)

    async def room(self) -> None:
        await self._recorder.room()

    async def add_item(
        self,
        kind: ItemKind,
        content: Json,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience],
        path: tuple[str, ...] = (),
    ) -> HistoryItem:
        item = self._parts.items.add(kind, content, role, name, audiences, path)
        await self._recorder.room()
        return item

    def stream_item(
        self,
        kind: ItemKind,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience],
        path: tuple[str, ...] = (),
    ) -> StreamedItem:
        items = self._parts.items
        return items.stream(items.new(kind, role, name, audiences), path)
