"""What a flow shows of one scope, from a record that was read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from flowstate_server.engine.calls.sessions import ScopeProjection
from flowstate_server.engine.readings import Readings
from flowstate_server.engine.records.bounded_values import bounded
from flowstate_server.engine.records.resource_views import ResourceViews
from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.errors import ScopeUnavailableError
from flowstate_server.model.ids import new_id
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure, StateRecord
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import ShownNames
from flowstate_server.programs.program import HostedFlow

_NOT_UPGRADED = Failure("INTERNAL", "the stored state can't be upgraded to that of today's flow")
NONE: Mapping[str, ResourceRecord] = {}
"""No resources."""
_NOTHING = ShownNames()
_UNREADABLE = "the stored value does not fit its schema, or not any more"
_logger = logging.getLogger(__name__)


class Projections:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._views = ResourceViews(catalogue)

    async def of(
        self,
        flow: HostedFlow,
        kind: ScopeKind,
        record: StateRecord,
        names: frozenset[str],
        resources: Mapping[str, ResourceRecord] = NONE,
    ) -> ScopeProjection:
        """``names`` of the scope, each with its value or why there is none; a field that is absent is left out.

        ``resources`` are the single ones of the scope that the names are made of.
        """
        shown = flow.described.shown.get(kind, _NOTHING)
        schema = flow.described.schemas[kind]
        upgrades = RecordUpgrades.of(self._catalogue, kind, flow.described)
        try:
            stored = (await upgrades.ahead(record)).record.state
        except ScopeUnavailableError:
            return ScopeProjection(kind, record.version, {}, dict.fromkeys(names, _NOT_UPGRADED))
        tell = partial(_tell, flow.described.kind, kind)
        readings = self._catalogue.remembered((Projections, Readings), Readings)
        reading, error_id = readings.of(schema, record, stored, shown.exposed, tell)
        state = schema.with_defaults(stored)
        if reading.values:
            state = {**state, **reading.values}
        values: dict[str, Json] = {
            name: state[name] for name in shown.exposed if name in names and name in state
        }
        failures = dict.fromkeys(
            reading.unreadable & values.keys(), Failure("INTERNAL", _UNREADABLE, error_id=error_id)
        )
        for name in failures:
            del values[name]
        if wanted := [name for name in shown.derived if name in names]:
            try:
                derived = await flow.program.derive(kind, wanted, stored, _states(resources))
            except EXITS as error:
                raise contained(error) from error
            for name in wanted:
                outcome = bounded(derived[name])
                if isinstance(outcome, Failure):
                    failures[name] = outcome
                else:
                    values[name] = outcome
        if not resources:
            return ScopeProjection(kind, record.version, values, failures)
        versions = await self._add_resources(flow, kind, names, resources, values, failures)
        return ScopeProjection(kind, record.version, values, failures, versions)

    async def _add_resources(
        self,
        flow: HostedFlow,
        kind: ScopeKind,
        names: frozenset[str],
        resources: Mapping[str, ResourceRecord],
        values: dict[str, Json],
        failures: dict[str, Failure],
    ) -> Mapping[str, int]:
        """The versions of those that are shown under their names."""
        versions: dict[str, int] = {}
        for name, record in resources.items():
            described = flow.described.resource_index.find(kind, name)
            if name not in names or not record.exists or described is None or described.shown is None:
                continue
            outcome = await self._views.shown(flow, described, record)
            versions[name] = record.version
            if isinstance(outcome, Failure):
                failures[name] = outcome
            else:
                values[name] = outcome
        return versions


def _states(resources: Mapping[str, ResourceRecord]) -> Mapping[str, JsonObject | None]:
    return {name: record.state if record.exists else None for name, record in resources.items()}


def _tell(flow_kind: str, kind: ScopeKind, unreadable: frozenset[str]) -> str:
    """The id under which the log tells what can't be shown."""
    error_id = new_id("err_")
    _logger.warning(
        "the stored %s state does not fit the schema of flow %r (any more), clients don't see: %s (%s)",
        kind,
        flow_kind,
        ", ".join(sorted(unreadable)),
        error_id,
        extra={"error_id": error_id},
    )
    return error_id
