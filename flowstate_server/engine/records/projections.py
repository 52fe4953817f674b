"""What a flow shows of one scope, from a record that was read."""

from __future__ import annotations

import logging
from functools import partial

from flowstate_server.engine.calls.sessions import ScopeProjection
from flowstate_server.engine.readings import Readings
from flowstate_server.engine.upgrades import RecordUpgrades
from flowstate_server.errors import ScopeUnavailableError
from flowstate_server.model.ids import new_id
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.model.records import Failure, StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.program import HostedFlow

# A snapshot has to fit into a message of 4 MiB, whatever a derived value makes of the state. Chosen.
MAX_DERIVED_BYTES = 256 * 1024

_NOT_UPGRADED = Failure("INTERNAL", "the stored state can't be upgraded to that of today's flow")
_UNREADABLE = "the stored value does not fit its schema, or not any more"
_logger = logging.getLogger(__name__)


class Projections:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def of(
        self, flow: HostedFlow, kind: ScopeKind, record: StateRecord, names: frozenset[str]
    ) -> ScopeProjection:
        """``names`` of the scope, each with its value or why there is none; a field that is absent is left out."""
        shown = flow.described.shown[kind]
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
                derived = await flow.program.derive(kind, wanted, stored, {})
            except EXITS as error:
                raise contained(error) from error
            for name in wanted:
                outcome = _bounded(derived[name])
                if isinstance(outcome, Failure):
                    failures[name] = outcome
                else:
                    values[name] = outcome
        return ScopeProjection(kind, record.version, values, failures)


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


def _bounded(derived: Json | Failure) -> Json | Failure:
    """A value so large that it would keep the others from being served counts as failed."""
    if isinstance(derived, Failure) or len(encode_json(derived)) <= MAX_DERIVED_BYTES:
        return derived
    return Failure("INTERNAL", f"the derived value has more than {MAX_DERIVED_BYTES} bytes")
