"""A program that a test looks into."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowstate_server.errors import ActionError
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure, StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.program import Program
from flowstate_server.programs.run_context import RunContext
from flowstate_server.state.operations import Operation


@dataclass(slots=True)
class Insight:
    """What only the program of a run knows: what was raised, and the state of the request, which ends with it."""

    error: BaseException | None = None
    request_state: StateRecord | None = None


@dataclass(slots=True)
class _Output:
    value: Any
    insight: Insight


@dataclass(slots=True)
class WatchedProgram:
    """Implements ``programs.program.Program``: another one, of whose runs it keeps :class:`Insight`.

    ``presets`` are done to the request's state before a run, by its request id.
    """

    program: Program
    insights: dict[str, Insight] = field(default_factory=dict)
    presets: dict[str, Sequence[Operation]] = field(default_factory=dict)

    async def check_input(self, action: str, text: bytes, /) -> Any:
        return await self.program.check_input(action, text)

    async def gate_key(self, action: str, value: Any, /) -> str:
        return await self.program.gate_key(action, value)

    async def execute(self, action: str, value: Any, run: RunContext, /) -> Any:
        insight = self.insights[run.request_id] = Insight()
        scope = run.scopes[ScopeKind.REQUEST]
        try:
            if preset := self.presets.get(run.request_id):
                await scope.write(preset, ())
            return _Output(await self.program.execute(action, value, run), insight)
        except BaseException as error:
            insight.error = _as_raised(error)
            raise
        finally:
            insight.request_state = scope.record

    async def draw(self, scope: ScopeKind, names: Sequence[str], /) -> JsonObject:
        return await self.program.draw(scope, names)

    def dump_output(self, action: str, output: Any, /) -> Json:
        try:
            return self.program.dump_output(action, output.value)
        except Exception as error:
            output.insight.error = error
            raise

    async def derive(
        self,
        scope: ScopeKind,
        names: Sequence[str],
        state: JsonObject,
        resources: Mapping[str, JsonObject | None],
        /,
    ) -> Mapping[str, Json | Failure]:
        return await self.program.derive(scope, names, state, resources)

    async def show(self, scope: ScopeKind, name: str, state: JsonObject, /) -> Json | Failure:
        return await self.program.show(scope, name, state)


def _as_raised(error: BaseException) -> BaseException:
    """Of an ``ActionError`` the block's own, of which the program has made one with plain details."""
    cause = error.__cause__
    if isinstance(error, ActionError) and isinstance(cause, ActionError) and cause.code == error.code:
        return cause
    return error
