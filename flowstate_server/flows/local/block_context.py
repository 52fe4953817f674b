"""The context that a block is given."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from flowstate_server.errors import (
    FlowDefinitionError,
    RequestTerminalError,
    ValidationFailedError,
    Violation,
)
from flowstate_server.flows.block import Block
from flowstate_server.flows.context import SEEN_BY_ALL, Context, SessionHandle
from flowstate_server.flows.dependencies import find_dependency
from flowstate_server.flows.local.begun_calls import Begun, TracksCalls, tracks_calls
from flowstate_server.flows.local.block_collection import BlockCollection
from flowstate_server.flows.local.block_items import BlockStream
from flowstate_server.flows.local.block_memory import BlockMemory
from flowstate_server.flows.local.block_reading import BlockReading, ReadScope
from flowstate_server.flows.local.block_resource import BlockResource, ResourcePlace
from flowstate_server.flows.local.block_scope import BlockScope
from flowstate_server.flows.local.block_session import BlockSession
from flowstate_server.flows.local.local_run import LocalRun
from flowstate_server.flows.local.states_around import StatesAround
from flowstate_server.flows.reading import ReadingContext, ScopeReading
from flowstate_server.flows.resources import AnyResource, Resource
from flowstate_server.flows.scope import ScopeHandle
from flowstate_server.model.events import Event
from flowstate_server.model.items import FOR_CLIENTS, INTERNAL, Audience, ItemKind
from flowstate_server.model.nearest import did_you_mean
from flowstate_server.model.payloads import Custom, ModelUsage, Payload, Status
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.author_code import leaves_of
from flowstate_server.programs.history import HistoryItem
from flowstate_server.programs.run_context import ItemStream, ScopeAccess
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.schemas.pydantic.schema import ModelSchema

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")

_ONLY = {audience: frozenset((audience,)) for audience in Audience}


class Executor(Protocol):
    """Runs a block as the execution that ``path`` names."""

    async def execute(
        self,
        block: Block[InputT, OutputT],
        value: InputT,
        path: tuple[str, ...],
        parent: StatesAround | None = None,
    ) -> OutputT: ...


@tracks_calls
class BlockContext(Context[Any, Any, Any, Any], TracksCalls):
    """One block's context in a run; scopes show the state models that the block declares."""

    def __init__(
        self,
        local: LocalRun,
        executor: Executor,
        block: Block[Any, Any],
        path: tuple[str, ...],
        states: StatesAround,
    ) -> None:
        self.begun = Begun(local.loop)
        self.written = "ctx"
        self._local = local
        self._run = local.run
        self._executor = executor
        self._block = block
        self._path = path
        self._states = states
        self._block_scopes: dict[tuple[BlockMemory, type[BaseModel]], BlockScope[Any]] = {}
        self._passes: dict[str, int] = {}
        self._failures: list[BaseException] = []
        self._scopes: dict[ScopeKind, BlockScope[Any]] = {}
        self._session: BlockSession[Any] | None = None
        self._reading: ReadingContext | None = None
        self._resources: dict[AnyResource, BlockResource[Any] | BlockCollection[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name.startswith("_") or hasattr(type(self), name):  # then what it raised itself is to be seen
            return object.__getattribute__(self, name)
        if name == "state":
            hint = ", but each scope has: did you mean ctx.session.state?"
        else:
            hint = did_you_mean(name, dir(type(self)))
        raise AttributeError(f"ctx has no {name}{hint}", name=name, obj=None)

    @property
    def request_id(self) -> str:
        return self._run.request_id

    @property
    def session(self) -> SessionHandle[Any]:
        if self._session is None:
            self._session = BlockSession(self._run, *self._scope_parts(ScopeKind.SESSION))
        return self._session

    @property
    def user(self) -> ScopeHandle[Any]:
        return self._scope(ScopeKind.USER)

    @property
    def org(self) -> ScopeHandle[Any] | None:
        return self._scope(ScopeKind.ORG) if ScopeKind.ORG in self._run.scopes else None

    @property
    def request(self) -> ScopeHandle[Any]:
        return self._scope(ScopeKind.REQUEST)

    def block_state(self, model: type[M], /) -> ScopeHandle[M]:
        return self._block_scope(self._states.own(model), model, "block_state")

    def parent_state(self, model: type[M], /) -> ScopeHandle[M]:
        return self._block_scope(self._states.of_parent(model), model, "parent_state")

    def sequencer_state(self, model: type[M], /) -> ScopeHandle[M]:
        return self._block_scope(self._states.of_sequencer(model), model, "sequencer_state")

    def target(self, name: str, model: type[M], /) -> ScopeReading[M] | None:
        memory = self._states.target(name, model)
        return None if memory is None else ReadScope(self._block_scope(memory, model, "target"))

    def resource(self, declared: AnyResource, /) -> Any:
        found = self._resources.get(declared)
        if found is None:
            found = self._resources[declared] = self._handle(declared)
        return found

    def dependency(self, asked: type[T], /) -> T:
        return find_dependency(self._run.dependencies, asked)

    def message(
        self,
        role: str = "assistant",
        *,
        name: str = "",
        audiences: Iterable[Audience] = SEEN_BY_ALL,
        transient: bool = False,
    ) -> AbstractAsyncContextManager[ItemStream]:
        stream = self._run.stream_item(
            ItemKind.MESSAGE,
            role=role,
            name=name,
            audiences=audiences,
            path=self._path,
            transient=transient,
        )
        return BlockStream(stream, self.begun)

    def reasoning(
        self, *, name: str = "", audiences: Iterable[Audience] = SEEN_BY_ALL, transient: bool = False
    ) -> AbstractAsyncContextManager[ItemStream]:
        stream = self._run.stream_item(
            ItemKind.REASONING, name=name, audiences=audiences, path=self._path, transient=transient
        )
        return BlockStream(stream, self.begun)

    async def add_item(
        self,
        kind: ItemKind | str,
        content: Any,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience] = SEEN_BY_ALL,
        transient: bool = False,
    ) -> HistoryItem:
        value = to_json(content, "/content")
        return await self._run.add_item(
            _kind(kind),
            value,
            role=role,
            name=name,
            audiences=audiences,
            path=self._path,
            transient=transient,
        )

    async def emit(
        self, name: str, data: Any = None, *, audience: Audience = Audience.INTERNAL, transient: bool = False
    ) -> None:
        payload = Custom(_text(name, "/name"), to_json(data, "/data"))
        if self._hold(payload, _ONLY.get(audience) or _ONLY[Audience(audience)], transient):
            await self._run.room()

    async def status(self, text: str, progress: float | None = None) -> None:
        text = _text(text, "/text")
        if progress is not None:
            if not 0 <= progress <= 1:
                raise ValidationFailedError((Violation("/progress", "range", "must be between 0 and 1"),))
            progress = float(progress)
        if self._hold(Status(text, progress), FOR_CLIENTS, transient=True):
            await self._run.room()

    def run(self, operation: Coroutine[Any, Any, T], /) -> T:
        loop = self._local.loop
        if asyncio._get_running_loop() is loop:
            operation.close()
            raise RuntimeError(
                "ctx.run(...) was called on the event loop, which would wait for itself: "
                "await the operation instead; ctx.run is for sync handlers, which run in a thread"
            )
        if loop.is_closed():
            operation.close()
            raise RequestTerminalError(self.request_id)
        return asyncio.run_coroutine_threadsafe(operation, loop).result()

    async def execute(self, block: Block[InputT, OutputT], value: InputT, /) -> OutputT:
        return await self._execute(self.next_name(block.name), block, value)

    def next_name(self, name: str, /) -> str:
        passes = self._passes[name] = self._passes.get(name, 0) + 1
        return name if passes == 1 else f"{name}#{passes}"

    def execution(
        self, name: str, block: Block[InputT, OutputT], value: InputT, /
    ) -> Coroutine[Any, Any, OutputT]:
        return self._execute(name, block, value)

    async def _execute(self, name: str, block: Block[InputT, OutputT], value: InputT) -> OutputT:
        try:
            return await self._executor.execute(block, value, (*self._path, name), self._states)
        except (Exception, BaseExceptionGroup) as failure:
            self._failures += leaves_of(failure)
            raise

    def tell_model_call(self, used: ModelUsage | None, *, seconds: float, outcome: str) -> None:
        """What a call of a language model came to: an event that is kept, if it told what it used, and the observer."""
        told = used or ModelUsage("", "", 0, 0)
        self._run.observe_model_call(
            provider=told.provider,
            model=told.model,
            seconds=seconds,
            tokens_in=told.input_tokens,
            tokens_out=told.output_tokens,
            outcome=outcome,
        )
        if used is not None:
            self.tell(used)

    @property
    def ending(self) -> bool:
        return self._run.ending

    def rescued(self, failure: BaseException, /) -> None:
        leaves = tuple(leaves_of(failure))
        self._failures = [known for known in self._failures if all(known is not leaf for leaf in leaves)]

    def tell(self, payload: Payload, /) -> None:
        self._run.hold(Event(payload.type, payload.encode(), INTERNAL, block_path=self._path))

    def claim_call_id(self, call_id: str, /) -> bool:
        claimed = self._local.call_ids
        if call_id in claimed:
            return False
        claimed.add(call_id)
        return True

    @property
    def reading(self) -> ReadingContext:
        if self._reading is None:
            self._reading = BlockReading(self)
        return self._reading

    def is_of_child(self, failure: BaseException) -> bool:
        """Whether ``failure`` came out of blocks that this one ran, which have told it."""
        return all(any(leaf is known for known in self._failures) for leaf in leaves_of(failure))

    def _hold(self, payload: Payload, audiences: frozenset[Audience], transient: bool) -> bool:
        event = Event(payload.type, payload.encode(), audiences, transient=transient, block_path=self._path)
        return self._run.hold(event)

    def _handle(self, declared: AnyResource) -> BlockResource[Any] | BlockCollection[Any]:
        block = f'{self._block.kind} "{self._block.name}"'
        if declared not in self._block.resources:
            what = getattr(declared, "written", f"a {type(declared).__name__}")
            raise FlowDefinitionError(
                f"{block} uses {what}, which it does not declare: add it to its resources=[...]"
            )
        access = self._run.resources.get(declared.scope)
        if access is None and declared.scope is ScopeKind.ORG:
            problem = f"{declared.written} is an org's, and the session is bound to none"
            raise RuntimeError(f"{problem}: look whether ctx.org is None first")
        try:
            if access is None:
                raise LookupError(declared.name)
            place = ResourcePlace(declared, access, self._local.seen, self._path, self.begun)
            if not isinstance(declared, Resource):
                return BlockCollection(place)
            record = access.loaded(declared.name)
        except LookupError:
            problem = (
                f"{block} uses {declared.written}, and no action of the flow is known to reach the block"
            )
            raise FlowDefinitionError(
                f"{problem}: name it in the uses=[...] of the handler that runs it"
            ) from None
        return BlockResource(place, declared.name, place.look(declared.name, record))

    def _scope(self, kind: ScopeKind) -> BlockScope[Any]:
        scope = self._scopes.get(kind)
        if scope is None:
            scope = self._scopes[kind] = BlockScope(*self._scope_parts(kind))
        return scope

    def _block_scope(self, memory: BlockMemory, model: type[M], how: str) -> BlockScope[M]:
        scope = self._block_scopes.get((memory, model))
        if scope is None:
            written = f"ctx.{how}({model.__name__})"
            scope = BlockScope(memory, memory.schema, model, self._path, self.begun, written)
            self._block_scopes[memory, model] = scope
        return scope

    def _scope_parts(
        self, kind: ScopeKind
    ) -> tuple[ScopeAccess, ModelSchema, type[Any], tuple[str, ...], Begun]:
        """The scope, and what the block reads it through: its own model, else the flow's."""
        local = self._local
        model = self._block.state_models.get(kind) or local.state_models.get(kind) or BaseModel
        return self._run.scopes[kind], local.schemas[kind], model, self._path, self.begun


def _kind(kind: ItemKind | str) -> ItemKind:
    try:
        return ItemKind(kind)
    except ValueError:
        problem = f"must be one of {', '.join(ItemKind)}"
        raise ValidationFailedError((Violation("/kind", "enum", problem),)) from None


def _text(value: str, path: str) -> str:
    text = to_json(value, path)
    if not isinstance(text, str):
        raise ValidationFailedError((Violation(path, "string_type", "must be a string"),))
    return text
