"""The program of a flow whose blocks run in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import ActionError
from flowstate_server.flows.action import Action
from flowstate_server.flows.client_view import ClientView, View, computed, derivation_failure
from flowstate_server.flows.error_details import error_details
from flowstate_server.flows.local.block_executor import BlockExecutor
from flowstate_server.flows.local.local_run import LocalRun
from flowstate_server.flows.resources import AnyResource
from flowstate_server.flows.timed_calls import TimedCalls
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.author_code import AT_WORK, called, does_work, other_work, told_by
from flowstate_server.programs.run_context import RunContext
from flowstate_server.programs.threads import STILL_SECONDS, DaemonThreads
from flowstate_server.schemas.pydantic.schema import ModelSchema

FACTORY_SECONDS = 1.0
"""The most that a ``default_factory`` may take."""


class LocalProgram:
    """Implements ``programs.program.Program``."""

    def __init__(
        self,
        actions: Mapping[str, Action[Any, Any]],
        schemas: Mapping[ScopeKind, ModelSchema],
        state_models: Mapping[ScopeKind, type[BaseModel]],
        client_views: Mapping[ScopeKind, ClientView],
        resources: Iterable[AnyResource] = (),
    ) -> None:
        self._actions = actions
        self._schemas = schemas
        self._state_models = state_models
        self._client_views = client_views
        self._resources = {(one.scope, one.name): one for one in resources}
        self._projections = {
            key: TimedCalls(one.client.data, "flowstate-resource-view")
            for key, one in self._resources.items()
            if one.client is not None and one.client.data is not None
        }
        self._threads = DaemonThreads("flowstate-factories", limit=2)  # so many may never come back
        self._inputs = DaemonThreads("flowstate-inputs")

    async def check_input(self, action: str, text: bytes, /) -> Any:
        validate = partial(self._actions[action].validate_input_json, text)
        if not self._actions[action].input_calls_code:
            return validate()
        return await self._inputs.begin(validate, still=STILL_SECONDS)

    async def execute(self, action: str, value: Any, run: RunContext, /) -> Any:
        local = LocalRun(run, self._schemas, self._state_models, asyncio.get_running_loop())
        try:
            block = self._actions[action].block
            return await BlockExecutor(local).execute(block, value, (block.name,))
        except BaseException as raised:
            error = told_by(raised)
            if not isinstance(error, ActionError):
                raise
            details = error_details(error)
            raise ActionError(error.code, error.message, details, retryable=error.retryable) from error

    async def draw(self, scope: ScopeKind, names: Sequence[str], /) -> JsonObject:
        return {name: await self._draw(scope, name) for name in names}

    @does_work
    async def _draw(self, scope: ScopeKind, name: str) -> Json:
        work = other_work(f'the default_factory of {scope} field "{name}"')
        before = AT_WORK.get()
        AT_WORK.set(work)
        try:
            async with asyncio.timeout(FACTORY_SECONDS):
                return await self._threads.run(self._schemas[scope].draw, name)
        except asyncio.CancelledError:
            raise
        except TimeoutError as error:
            raise RuntimeError(f"{work} has given nothing for {FACTORY_SECONDS:g} s") from error
        except Exception as error:
            raise RuntimeError(f"{work} failed") from error
        finally:
            AT_WORK.set(before)

    @does_work
    def dump_output(self, action: str, output: Any, /) -> Json:
        work = other_work(f'the output of action "{action}"')  # noqa: F841 - read by work_of
        return self._actions[action].dump_output(output)

    async def derive(
        self,
        scope: ScopeKind,
        names: Sequence[str],
        state: JsonObject,
        resources: Mapping[str, JsonObject | None],
        /,
    ) -> Mapping[str, Json | Failure]:
        shown = self._client_views[scope]
        try:
            view = View(
                called(self._schemas[scope].merged_view, state),
                {name: self._state_of(scope, name, stored) for name, stored in resources.items()},
            )
        except Exception as error:
            return {name: derivation_failure(f'derived value "{name}"', error) for name in names}
        if len(names) == 1:  # needs no task of its own
            return {names[0]: await shown.derive(names[0], view)}
        derived = await asyncio.gather(*(shown.derive(name, view) for name in names))
        return dict(zip(names, derived, strict=True))

    async def show(self, scope: ScopeKind, name: str, state: JsonObject, /) -> Json | Failure:
        what = f'resource view "{name}"'
        try:
            view = self._state_of(scope, name, state)
        except Exception as error:
            return derivation_failure(what, error)
        shown = await computed(self._projections[scope, name], what, view)
        if isinstance(shown, dict | Failure):
            return shown
        return derivation_failure(what, TypeError("data must give a dict of what clients see"))

    def _state_of(self, scope: ScopeKind, name: str, stored: JsonObject | None) -> Any:
        if stored is None:
            return None
        declared = self._resources[scope, name]
        return called(declared.schema.view, declared.state, stored)
