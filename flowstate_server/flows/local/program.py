"""The program of a flow whose blocks run in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import ActionError, VersionMismatchError
from flowstate_server.flows.action import Action
from flowstate_server.flows.client_view import ClientView, View, derivation_failure
from flowstate_server.flows.error_details import error_details
from flowstate_server.flows.local.block_executor import BlockExecutor
from flowstate_server.flows.local.local_run import LocalRun
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.author_code import called, does_work, told_by
from flowstate_server.programs.run_context import RunContext, ScopeAccess
from flowstate_server.programs.threads import STILL_SECONDS, DaemonThreads
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state.operations import patch_state


class LocalProgram:
    """Implements ``programs.program.Program``."""

    def __init__(
        self,
        actions: Mapping[str, Action[Any, Any]],
        schemas: Mapping[ScopeKind, ModelSchema],
        state_models: Mapping[ScopeKind, type[BaseModel]],
        client_views: Mapping[ScopeKind, ClientView],
    ) -> None:
        self._actions = actions
        self._schemas = schemas
        self._state_models = state_models
        self._client_views = client_views

    async def check_input(self, action: str, text: bytes, /) -> Any:
        validate = partial(self._actions[action].validate_input_json, text)
        if not self._actions[action].input_calls_code:
            return validate()
        return await _threads.begin(validate, still=STILL_SECONDS)

    async def execute(self, action: str, value: Any, run: RunContext, /) -> Any:
        local = LocalRun(run, self._schemas, self._state_models, asyncio.get_running_loop())
        try:
            await self._draw(run)
            block = self._actions[action].block
            return await BlockExecutor(local).execute(block, value, (block.name,))
        except BaseException as raised:
            error = told_by(raised)
            if not isinstance(error, ActionError):
                raise
            details = error_details(error)
            raise ActionError(error.code, error.message, details, retryable=error.retryable) from error

    async def _draw(self, run: RunContext) -> None:
        """Write what factories give for fields that were never written, so that each record has one value of them."""
        for kind, schema in self._schemas.items():
            if schema.draws and kind in run.scopes:
                await _draw_into(run.scopes[kind], schema)

    @does_work
    def dump_output(self, action: str, output: Any, /) -> Json:
        work = f'the output of action "{action}"'  # noqa: F841 - read by work_of
        return self._actions[action].dump_output(output)

    async def derive(
        self, scope: ScopeKind, names: Sequence[str], state: JsonObject, /
    ) -> Mapping[str, Json | Failure]:
        shown = self._client_views[scope]
        try:
            view = View(called(self._schemas[scope].merged_view, state))
        except Exception as error:
            return {name: derivation_failure(name, error) for name in names}
        derived = await asyncio.gather(*(shown.derive(name, view) for name in names))
        return dict(zip(names, derived, strict=True))


_threads = DaemonThreads("flowstate-input")


async def _draw_into(scope: ScopeAccess, schema: ModelSchema) -> None:
    while fields := schema.drawn(scope.record.state):
        try:
            await scope.write(patch_state(fields), (), at=scope.record.version)
        except VersionMismatchError:  # another run of this record may have drawn
            await scope.refresh()
