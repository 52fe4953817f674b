"""What the engine asks of whatever runs a flow's actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.run_context import RunContext


class Program(Protocol):
    """Runs the actions of one flow. One program serves any number of runs at once.

    Only JSON crosses here in the end: what an input or an output is in between is the program's own business.
    """

    async def check_input(self, action: str, text: bytes, /) -> Any:
        """The input of an action as :meth:`execute` takes it. ``text`` is JSON that obeys the profile.

        Raises:
            ValidationFailedError: JSON Pointers below ``/input`` and rules, never the value.
        """
        ...

    async def gate_key(self, action: str, value: Any, /) -> str:
        """What tells the gate of an input from others, ``value`` as :meth:`check_input` gave it. Only asked of actions
        whose concurrency goes by the input.

        Raises:
            Exception: there is none; its text names the action.
        """
        ...

    async def execute(self, action: str, value: Any, run: RunContext, /) -> Any:
        """Run an action to its end and give its output. Cancelled when the run is stopped; it then has a few seconds
        to clean up.

        Raises:
            ActionError: the action failed, with words meant for the client; its details are plain JSON.
            Exception: it failed; the client learns that and an id to find this in the log by.
        """
        ...

    async def draw(self, scope: ScopeKind, names: Sequence[str], /) -> JsonObject:
        """First values for fields of a record, which are among the schema's ``drawn``.

        Raises:
            Exception: there is none; its text names the field.
        """
        ...

    def dump_output(self, action: str, output: Any, /) -> Json:
        """The JSON form of what :meth:`execute` gave.

        Raises:
            ValidationFailedError, JsonInvalidError, JsonNumberError, JsonLimitError: it is not what the action
                promises, or has no JSON form.
        """
        ...

    async def derive(
        self,
        scope: ScopeKind,
        names: Sequence[str],
        state: JsonObject,
        resources: Mapping[str, JsonObject | None],
        /,
    ) -> Mapping[str, Json | Failure]:
        """The derived values ``names`` of a scope, each with its value or why there is none; never raises.

        ``state`` is what is stored, without defaults; ``resources`` are the states of the single resources that the
        flow declares in the scope, by name, each as stored, ``None`` where there is none. Don't modify them.
        """
        ...

    async def show(self, scope: ScopeKind, name: str, state: JsonObject, /) -> Json | Failure:
        """What clients see of the state of a resource whose view is ``computed``, or why there is nothing; never
        raises.

        ``name`` is the one that it is declared under: its own, or the pattern of its collection. ``state`` is what is
        stored, without defaults. Don't modify it.
        """
        ...


@dataclass(frozen=True, eq=False)
class HostedFlow:
    """A flow as a server hosts it: what it is, and what runs it."""

    described: FlowDescription
    program: Program
