"""The context that the engine gives to a block."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar, cast

from pydantic import BaseModel

from flowstate_server.engine.runs.run_parts import RunParts
from flowstate_server.engine.runs.scope_handle import BlockScope
from flowstate_server.engine.runs.session_handle import BlockSession
from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.flows.block import Block
from flowstate_server.flows.context import SEEN_BY_ALL, Context, ItemStream, SessionHandle
from flowstate_server.flows.history import HistoryItem
from flowstate_server.flows.scope import ScopeHandle
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.state.json_profile import to_json

T = TypeVar("T")
InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")


class Executor(Protocol):
    """Runs a block below a path."""

    async def execute(
        self, block: Block[InputT, OutputT], value: InputT, path: tuple[str, ...]
    ) -> OutputT: ...


class BlockContext(Context[Any, Any, Any, Any]):
    """One block's context in a run; scopes show the state models that the block declares."""

    def __init__(
        self, parts: RunParts, executor: Executor, block: Block[Any, Any], path: tuple[str, ...]
    ) -> None:
        self._parts = parts
        self._executor = executor
        self._block = block
        self._path = path
        self._scopes: dict[ScopeKind, BlockScope[Any]] = {}
        self._session: BlockSession[Any] | None = None

    @property
    def request_id(self) -> str:
        return self._parts.head.key.request_id

    @property
    def session(self) -> SessionHandle[Any]:
        if self._session is None:
            scope = self._parts.scopes[ScopeKind.SESSION]
            self._session = BlockSession(
                self._parts.session, scope, self._model(ScopeKind.SESSION), self._path
            )
        return self._session

    @property
    def user(self) -> ScopeHandle[Any]:
        return self._scope(ScopeKind.USER)

    @property
    def org(self) -> ScopeHandle[Any] | None:
        return self._scope(ScopeKind.ORG) if ScopeKind.ORG in self._parts.scopes else None

    @property
    def request(self) -> ScopeHandle[Any]:
        return self._scope(ScopeKind.REQUEST)

    def message(
        self, role: str = "assistant", *, name: str = "", audiences: Iterable[Audience] = SEEN_BY_ALL
    ) -> AbstractAsyncContextManager[ItemStream]:
        items = self._parts.items
        return items.stream(items.new(ItemKind.MESSAGE, role, name, audiences), self._path)

    def reasoning(
        self, *, name: str = "", audiences: Iterable[Audience] = SEEN_BY_ALL
    ) -> AbstractAsyncContextManager[ItemStream]:
        items = self._parts.items
        return items.stream(items.new(ItemKind.REASONING, "", name, audiences), self._path)

    async def add_item(
        self,
        kind: ItemKind | str,
        content: Any,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience] = SEEN_BY_ALL,
    ) -> HistoryItem:
        items = self._parts.items
        item = items.add(ItemKind(kind), content, role, name, audiences, self._path)
        await self._parts.recorder.room()
        return item

    async def emit(
        self, name: str, data: Any = None, *, audience: Audience = Audience.INTERNAL, transient: bool = False
    ) -> None:
        payload = encode_json({"name": _text(name, "/name"), "data": to_json(data, "/data")})
        await self._hold(EventType.CUSTOM, payload, Audience(audience), transient)

    async def status(self, text: str, progress: float | None = None) -> None:
        payload: JsonObject = {"text": _text(text, "/text")}
        if progress is not None:
            if not 0 <= progress <= 1:
                raise ValidationFailedError((Violation("/progress", "range", "must be between 0 and 1"),))
            payload["progress"] = float(progress)
        await self._hold(EventType.STATUS, encode_json(payload), Audience.CLIENT, transient=True)

    def run(self, operation: Coroutine[Any, Any, T], /) -> T:
        return asyncio.run_coroutine_threadsafe(operation, self._parts.loop).result()

    async def execute(self, block: Block[InputT, OutputT], value: InputT, /) -> OutputT:
        return await self._executor.execute(block, value, self._path)

    async def _hold(self, kind: EventType, payload: bytes, audience: Audience, transient: bool) -> None:
        self._parts.recorder.hold(Event(kind, payload, frozenset((audience,)), transient, self._path))
        await self._parts.recorder.room()

    def _scope(self, kind: ScopeKind) -> BlockScope[Any]:
        scope = self._scopes.get(kind)
        if scope is None:
            scope = self._scopes[kind] = BlockScope(self._parts.scopes[kind], self._model(kind), self._path)
        return scope

    def _model(self, kind: ScopeKind) -> type[Any]:
        """What the block reads the scope through: its own declaration, else the flow's."""
        model = self._block.state_models.get(kind) or self._parts.flow.state_models.get(kind)
        return cast("type[Any]", model or BaseModel)


def _text(value: str, path: str) -> str:
    text = to_json(value, path)
    if not isinstance(text, str):
        raise ValidationFailedError((Violation(path, "string_type", "must be a string"),))
    return text
