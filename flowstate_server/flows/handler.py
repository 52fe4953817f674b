"""Handlers: blocks made of one function."""

from __future__ import annotations

import inspect
import sys
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar as PlainTypeVar, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.errors import FlowDefinitionError, ValidationFailedError
from flowstate_server.flows.block import Block, I_contra, O_co, RunsBlocks, check_block
from flowstate_server.flows.block_states import BlockStates, declared_states
from flowstate_server.flows.context import Context
from flowstate_server.flows.field_faults import require_declared
from flowstate_server.flows.resources import AnyResource
from flowstate_server.flows.signature import ORDER, read_signature
from flowstate_server.flows.written_fields import written_fields
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.threads import DaemonThreads
from flowstate_server.schemas.pydantic.pydantic_1 import no_model_class

I = PlainTypeVar("I")  # noqa: E741
O = PlainTypeVar("O")  # noqa: E741
SessionT = TypeVar("SessionT", bound=BaseModel, default=Any)
UserT = TypeVar("UserT", bound=BaseModel, default=Any)
OrgT = TypeVar("OrgT", bound=BaseModel, default=Any)
RequestT = TypeVar("RequestT", bound=BaseModel, default=Any)

_threads = DaemonThreads("flowstate-handler")


class Handler(Block[I_contra, O_co], Generic[I_contra, O_co]):
    """A block made of one function; made by :func:`handler`. Called directly it is that function, for unit tests."""

    kind = "handler"

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        *,
        name: str | None,
        state_models: Mapping[ScopeKind, type[BaseModel]],
        uses: Iterable[Block[Any, Any]],
        states: Callable[[str], BlockStates],
        resources: Iterable[AnyResource],
        local_names: Mapping[str, Any],
    ) -> None:
        name = getattr(function, "__name__", "") if name is None else name
        signature = read_signature(function, name, local_names)
        super().__init__(
            name,
            input_type=signature.input_type,
            output_type=signature.output_type,
            state_models={**signature.context_models, **state_models},
            states=states(f'handler "{name}"'),
            resources=resources,
        )
        for scope, model in signature.context_models.items():
            if not issubclass(declared := self.state_models[scope], model):
                problem = (
                    f"declares {scope}_state={declared.__name__}, but its context has {model.__name__} there: "
                    f"{ORDER}"
                )
                raise FlowDefinitionError(f'handler "{name}" {problem}')
        require_declared(name, self.state_models, written_fields(function))
        self._uses = tuple(check_block(block, f'handler "{name}"') for block in uses)
        self._function = function
        self.__doc__ = function.__doc__
        self.__wrapped__ = function

    @property
    def children(self) -> tuple[Block[Any, Any], ...]:
        return self._uses

    async def execute(self, value: I_contra, ctx: RunsBlocks, /) -> O_co:
        __tracebackhide__ = True
        output = await self._call(value, ctx)
        try:
            result: O_co = self.validate_output(output)
        except ValidationFailedError as error:
            did = "returned None, not" if output is None else "did not return"
            raise TypeError(f'handler "{self.name}" {did} what it is annotated with: {error}') from None
        return result

    @abstractmethod
    async def _call(self, value: I_contra, ctx: Any, /) -> object: ...


class AsyncHandler(Handler[I_contra, O_co], Generic[I_contra, O_co]):
    """A handler that is awaited on the event loop, which it must not block."""

    def __call__(self, value: I_contra, ctx: Context[Any, Any, Any, Any], /) -> Coroutine[Any, Any, O_co]:
        coroutine: Coroutine[Any, Any, O_co] = self._function(value, ctx)
        return coroutine

    async def _call(self, value: I_contra, ctx: Any, /) -> object:
        return await self._function(value, ctx)


class SyncHandler(Handler[I_contra, O_co], Generic[I_contra, O_co]):
    """A handler that runs in a thread; it does what is to be awaited through ``ctx.run(...)``."""

    def __call__(self, value: I_contra, ctx: Context[Any, Any, Any, Any], /) -> O_co:
        result: O_co = self._function(value, ctx)
        return result

    async def _call(self, value: I_contra, ctx: Any, /) -> object:
        output = await _threads.run(self._function, value, ctx)
        return await output if inspect.isawaitable(output) else output


class HandlerDecorator(Generic[SessionT, UserT, OrgT, RequestT]):
    """``@handler(...)`` with its arguments; it takes functions whose context is typed by the declared models."""

    def __init__(
        self,
        *,
        name: str | None = None,
        state_models: Mapping[ScopeKind, type[BaseModel]],
        states: Callable[[str], BlockStates],
        uses: Iterable[Block[Any, Any]] = (),
        resources: Iterable[AnyResource] = (),
    ) -> None:
        self._name = name
        self._state_models = state_models
        self._states = states
        self._uses = tuple(uses)
        self._resources = resources

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a coroutine function is a function too
        self, function: Callable[[I, Context[SessionT, UserT, OrgT, RequestT]], Coroutine[Any, Any, O]], /
    ) -> AsyncHandler[I, O]: ...

    @overload
    def __call__(
        self, function: Callable[[I, Context[SessionT, UserT, OrgT, RequestT]], O], /
    ) -> SyncHandler[I, O]: ...

    def __call__(self, function: Callable[[Any, Any], Any], /) -> Handler[Any, Any]:
        return self.decorate(function, sys._getframe(1).f_locals)

    def decorate(
        self, function: Callable[[Any, Any], Any], local_names: Mapping[str, Any]
    ) -> Handler[Any, Any]:
        if not inspect.isroutine(function):
            raise FlowDefinitionError(f"a handler is made of a function, not {type(function).__name__}")
        kind: type[Handler[Any, Any]] = AsyncHandler if inspect.iscoroutinefunction(function) else SyncHandler
        return kind(
            function,
            name=self._name,
            state_models=self._state_models,
            uses=self._uses,
            states=self._states,
            resources=self._resources,
            local_names=local_names,
        )


@overload
def handler(  # type: ignore[overload-overlap]
    function: Callable[[I, Context[Any, Any, Any, Any]], Coroutine[Any, Any, O]], /
) -> AsyncHandler[I, O]: ...


@overload
def handler(function: Callable[[I, Context[Any, Any, Any, Any]], O], /) -> SyncHandler[I, O]: ...


@overload
def handler(
    *,
    session_state: type[SessionT] | None = None,
    user_state: type[UserT] | None = None,
    org_state: type[OrgT] | None = None,
    request_state: type[RequestT] | None = None,
    state: type[BaseModel] | None = None,
    parent_state: type[BaseModel] | None = None,
    sequencer_state: type[BaseModel] | None = None,
    targets: Mapping[str, type[BaseModel]] | None = None,
    name: str | None = None,
    uses: Iterable[Block[Any, Any]] = (),
    resources: Iterable[AnyResource] = (),
) -> HandlerDecorator[SessionT, UserT, OrgT, RequestT]: ...


def handler(
    function: Callable[[Any, Any], Any] | None = None,
    /,
    *,
    session_state: type[BaseModel] | None = None,
    user_state: type[BaseModel] | None = None,
    org_state: type[BaseModel] | None = None,
    request_state: type[BaseModel] | None = None,
    state: type[BaseModel] | None = None,
    parent_state: type[BaseModel] | None = None,
    sequencer_state: type[BaseModel] | None = None,
    targets: Mapping[str, type[BaseModel]] | None = None,
    name: str | None = None,
    uses: Iterable[Block[Any, Any]] = (),
    resources: Iterable[AnyResource] = (),
) -> HandlerDecorator[Any, Any, Any, Any] | Handler[Any, Any]:
    """Make a block of a function ``(input, context) -> output``; bare, or with what it declares.

    The input's and the output's type are the function's annotations. An ``async`` function is awaited on the event
    loop, any other one runs in a thread of its own and reaches the loop by ``ctx.run(...)``. One that needs no input
    takes ``None``: ``async def reset(_: None, ctx: Context) -> None``.

    Args:
        session_state, user_state, org_state, request_state: models of the state fields that the function reads or
            writes in that scope. They become part of the schema of every flow that the block is used in, and the
            type of ``ctx.session.state`` and so on, if the context is annotated ``Context[...]`` with them. A
            model that only that annotation names is declared by it.
        state: a model of the block's own state, which lives as long as one execution: ``ctx.block_state(Model)``.
        parent_state, sequencer_state: what it uses of the state of the block that runs it, and of the nearest
            sequencer around it that has one: ``ctx.parent_state(Model)``, ``ctx.sequencer_state(Model)``.
        targets: the blocks whose state it reads, by name: ``ctx.target("search", Model)``.
        name: of the block, 1 to 128 bytes; by default the function's.
        uses: blocks that the function runs by ``ctx.execute``.
        resources: those that the function reaches by ``ctx.resource``.

    Raises:
        FlowDefinitionError: the function can't be a handler; the message says why.
    """
    models = {
        ScopeKind.SESSION: session_state,
        ScopeKind.USER: user_state,
        ScopeKind.ORG: org_state,
        ScopeKind.REQUEST: request_state,
    }
    for scope, model in models.items():
        if model is not None and not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise FlowDefinitionError(f"{scope}_state {no_model_class(model)}")
    states = partial(
        declared_states,
        state=state,
        parent_state=parent_state,
        sequencer_state=sequencer_state,
        targets=targets,
    )
    declared = {scope: model for scope, model in models.items() if model is not None}
    decorator: HandlerDecorator[Any, Any, Any, Any] = HandlerDecorator(
        name=name, state_models=declared, states=states, uses=uses, resources=resources
    )
    return decorator if function is None else decorator.decorate(function, sys._getframe(1).f_locals)
