"""Where a stored record does not fit the flows that are to read and write it: by field and rule, never by value."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence, Set
from functools import partial
from typing import NamedTuple

from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.errors import ScopeUnavailableError, StateValidationError, UpgradeResultError, Violation
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.programs.stuck_calls import StuckCalls, StuckError
from flowstate_server.programs.threads import DaemonThreads
from flowstate_server.programs.tracebacks import line_of_author
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.state.code_raised import name_of
from flowstate_server.state.code_time import MOST_SECONDS
from flowstate_server.state.json_pointer import format_pointer, parse_pointer

NEWER_GENERATION = "newer_generation"
UPGRADE_FAILED = "upgrade_failed"
TOO_SLOW = "too_slow"
"""Beside the rules of schemas, of which a field breaks one."""

_CHECK_SECONDS = 4 * MOST_SECONDS
"""For all fields of a record, of which each may take a fourth."""

_threads = DaemonThreads("flowstate-check")


class Place(NamedTuple):
    """Where a record does not fit: ``field`` is empty where it is the record as a whole. ``detail`` may say more.

    Where a rule of a schema is broken, ``path`` is a JSON Pointer, with ``*`` for steps that the schema does not name,
    and ``message`` says what was expected.
    """

    flow: str
    scope: str
    field: str
    rule: str
    detail: str = ""
    path: str = ""
    message: str = ""


class Judged(NamedTuple):
    """Where a record does not fit, and as what it would be read; ``None`` where it could not be."""

    places: list[Place]
    record: StateRecord | None = None


class Misfits:
    """Those of the flows of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._upgrades: dict[tuple[ScopeKind, FlowDescription], RecordUpgrades] = {}
        self._stuck = StuckCalls()

    async def of(self, record: StateRecord, flow: FlowDescription | None) -> list[Place]:
        """Those of a record that ``flow`` has for itself, or shares with others if it is ``None``.

        Raises:
            ValueError: the record is no JSON.
        """
        return (await self.judged(record, self._catalogue.sharing(record.key.kind, flow))).places

    async def alone(self, record: StateRecord, flow: FlowDescription) -> list[Place]:
        """Those of the private record of ``flow``, whether or not it isolates at present."""
        return (await self.judged(record, (flow,))).places

    async def of_resource(
        self, scope: ScopeKind, name: str, state: JsonObject, flows: Iterable[FlowDescription]
    ) -> list[Place]:
        """Those of the state of a resource that ``flows`` may declare."""
        found: list[Place] = []
        for flow in flows:
            declared = flow.resource_index.find(scope, name)
            if declared is not None:
                broken = await self._broken_by(flow, scope, declared.schema, state)
                found += [
                    one._replace(
                        field=f"resources.{name}", detail=f'field "{one.field}"' if one.field else "", path=""
                    )
                    for one in broken
                ]
        return found

    async def judged(self, record: StateRecord, sharing: Sequence[FlowDescription]) -> Judged:
        """A record of the flows ``sharing``.

        Raises:
            ValueError: the record is no JSON.
        """
        scope = record.key.kind
        for one in sharing:
            try:
                self._alone(scope, one).require_writable(record)
            except ScopeUnavailableError as error:
                return Judged([Place(one.kind, scope.value, "", NEWER_GENERATION, error.problem)])
        try:
            upgraded = await RecordUpgrades(scope, sharing).ahead(record)
        except ScopeUnavailableError as error:
            return Judged(self._failed_upgrade(record, sharing, error))
        found: list[Place] = []
        for one in sharing:
            found += await self._broken_by(one, scope, one.schemas[scope], upgraded.record.state)
        return Judged(found, upgraded.record)

    async def _broken_by(
        self, flow: FlowDescription, scope: ScopeKind, schema: ScopeSchema, state: JsonObject
    ) -> list[Place]:
        present = frozenset(name for name in schema.fields if name in state)
        check = partial(schema.check, state, present, state)
        try:
            if schema.seen_by_code(present):
                async with asyncio.timeout(_CHECK_SECONDS):
                    await self._stuck.call(_threads, (schema, flow), _CHECK_SECONDS, check)
            else:
                check()
        except StateValidationError as error:
            names = _member_names(schema.json_schema())
            return [
                Place(flow.kind, scope.value, name, one.rule, "", _shown(one.path, names), one.message)
                for name, one in _broken(error)
            ]
        except (TimeoutError, StuckError):
            return [Place(flow.kind, scope.value, "", TOO_SLOW)]
        except Exception as error:
            return [Place(flow.kind, scope.value, "", f"raised {name_of(error)}")]
        return []

    def _failed_upgrade(
        self, record: StateRecord, sharing: Sequence[FlowDescription], error: ScopeUnavailableError
    ) -> list[Place]:
        scope = record.key.kind
        failed = [one.kind for one in sharing if self._alone(scope, one).needed(record)]
        kind = next((kind for kind in failed if f'flow "{kind}"' in error.problem), "")
        cause = error.__cause__
        if isinstance(cause, StateValidationError):
            return [
                Place(kind, scope.value, name, UPGRADE_FAILED, f"it gives what breaks {one.rule}")
                for name, one in _broken(cause)
            ]
        # What goes on in the text of an error may name places by what is stored.
        if cause is None or isinstance(cause, UpgradeResultError):
            detail = error.problem.partition(" failed: ")[2]
        else:
            detail = _raised(cause)
        return [Place(kind, scope.value, "", UPGRADE_FAILED, detail)]

    def _alone(self, scope: ScopeKind, flow: FlowDescription) -> RecordUpgrades:
        """The generations and upgrade of one flow among those that share a record."""
        if (scope, flow) not in self._upgrades:
            self._upgrades[scope, flow] = RecordUpgrades(scope, [flow])
        return self._upgrades[scope, flow]


def _raised(error: BaseException) -> str:
    line = line_of_author(error)
    return f"{name_of(error)} in {line}" if line else name_of(error)


def _broken(error: StateValidationError) -> list[tuple[str, Violation]]:
    """The fields, each with the first of its violations."""
    found = {_top(violation.path): violation for violation in reversed(error.violations)}
    return sorted(found.items(), key=lambda item: item[0])


def _member_names(schema: Json) -> frozenset[str]:
    """The names of all members that a JSON Schema has, at whatever depth."""
    if isinstance(schema, list):
        return frozenset().union(*map(_member_names, schema))
    if not isinstance(schema, dict):
        return frozenset()
    members = schema.get("properties")
    return frozenset(members if isinstance(members, dict) else ()).union(*map(_member_names, schema.values()))


def _shown(path: str, names: Set[str]) -> str:
    return format_pointer([step if step in names else "*" for step in parse_pointer(path)])


def _top(path: str) -> str:
    """The field: what is deeper may be a key that somebody's data brought."""
    pointer = parse_pointer(path)
    return pointer[0] if pointer else ""
