"""What a flow shows clients of the state of a resource."""

from __future__ import annotations

import logging

from flowstate_server.engine.readings import Readings
from flowstate_server.engine.records.bounded_values import bounded
from flowstate_server.engine.resource_change import state_of
from flowstate_server.model.ids import new_id
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import Failure
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.programs.author_code import EXITS, contained
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.program import HostedFlow
from flowstate_server.programs.resources import ResourceDescription

_logger = logging.getLogger(__name__)


class ResourceViews:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def shown(
        self, flow: HostedFlow, described: ResourceDescription, record: ResourceRecord
    ) -> Json | Failure:
        """What clients see of a resource that is shown to them, or why there is nothing."""
        shown = described.shown
        if shown is None:
            raise LookupError("clients see nothing of the resource")
        if shown.computed:
            try:
                computed = await flow.program.show(described.scope, described.name, record.state)
            except EXITS as error:
                raise contained(error) from error
            return bounded(computed)
        return self._exposed(flow.described.kind, described, shown.exposed, record)

    def whole(self, described: ResourceDescription | None, record: ResourceRecord) -> JsonObject:
        """The state as it reads, with defaults; as it is stored where nobody declares the resource."""
        if described is None:
            return record.state
        return self._readings.shown(described.schema, state_of(record))

    @property
    def _readings(self) -> Readings:
        return self._catalogue.remembered((ResourceViews, Readings), Readings)

    def _exposed(
        self, flow_kind: str, described: ResourceDescription, names: tuple[str, ...], record: ResourceRecord
    ) -> JsonObject:
        """Fields that do not fit their schema (any more) are left out, and told in the log."""

        def tell(unreadable: frozenset[str]) -> str:
            error_id = new_id("err_")
            _logger.warning(
                "the stored state of a %s resource %r does not fit the schema of flow %r (any more), clients don't "
                "see: %s (%s)",
                described.scope,
                described.name,
                flow_kind,
                ", ".join(sorted(unreadable)),
                error_id,
                extra={"error_id": error_id},
            )
            return error_id

        schema = described.schema
        reading, _ = self._readings.of(schema, state_of(record), record.state, names, tell)
        state = {**schema.with_defaults(record.state), **reading.values}
        return {name: state[name] for name in names if name in state and name not in reading.unreadable}
