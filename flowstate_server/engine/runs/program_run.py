"""What a run is made of, and the run as its program sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from flowstate_server.engine.runs.items import RunItems, StreamedItem
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.run_journal import RunJournal
from flowstate_server.engine.runs.run_resources import RunResources
from flowstate_server.engine.runs.run_scope import RunScope
from flowstate_server.engine.runs.run_session import RunSession
from flowstate_server.model.events import Event
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import RequestHead
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.observation import Observer
from flowstate_server.programs.history import HistoryItem
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.programs.run_context import SessionIdentity, SessionItems, SessionMetadata


@frozen
class RunParts:
    """What one request's run is made of.

    ``scopes`` lacks the org's when the session has none, ``resources`` are empty unless the flow declares some;
    ``loop`` is the server's, ``dependencies`` are what the application's lifespan yields.
    """

    head: RequestHead
    flow_kind: str
    scopes: Mapping[ScopeKind, RunScope]
    resources: Mapping[ScopeKind, RunResources]
    session: RunSession
    journal: RunJournal
    items: RunItems
    recorder: Recorder
    observer: Observer
    loop: asyncio.AbstractEventLoop
    dependencies: Sequence[object]


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
    def resources(self) -> Mapping[ScopeKind, RunResources]:
        return self._parts.resources

    @property
    def dependencies(self) -> Sequence[object]:
        return self._parts.dependencies

    @property
    def items(self) -> SessionItems:
        return self._parts.session.history

    @property
    def metadata(self) -> SessionMetadata:
        return self._parts.session.metadata

    async def set_metadata(self, fields: JsonObject, /) -> SessionMetadata:
        return await self._parts.session.set_metadata(fields)

    async def append_journal(
        self, text: str, *, source: str = "", tags: Iterable[str] = (), data: Json = None
    ) -> JournalEntry:
        return await self._parts.journal.append(text, source, tags, data)

    async def get_journal(self, limit: int = 10) -> Sequence[JournalEntry]:
        return await self._parts.journal.newest(limit)

    def hold(self, event: Event, /) -> bool:
        return self._recorder.hold(event)

    async def room(self) -> None:
        await self._recorder.room()

    def observe_block(self, path: tuple[str, ...], *, kind: str, seconds: float, outcome: str) -> None:
        self._parts.observer.block(
            flow_kind=self._parts.flow_kind,
            path=path,
            kind=kind,
            request_id=self.request_id,
            seconds=seconds,
            outcome=outcome,
        )

    async def add_item(
        self,
        kind: ItemKind,
        content: Json,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience],
        path: tuple[str, ...] = (),
        transient: bool = False,
    ) -> HistoryItem:
        item = self._parts.items.add(
            kind, content, role=role, name=name, audiences=audiences, block_path=path, transient=transient
        )
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
        transient: bool = False,
    ) -> StreamedItem:
        items = self._parts.items
        return items.stream(items.new(kind, role, name, audiences), path, transient)
