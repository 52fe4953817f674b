"""Whether what is copied between shared and private records fits the flows that read it there."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.engine.deploys.misfits import Misfits, Place
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription


class CopiedRecords:
    """Those of a scope, copied into the private records of a flow (``to_isolated``), or out of them into the shared
    ones."""

    def __init__(self, catalogue: Catalogue, flow_kind: str, scope: str, *, to_isolated: bool) -> None:
        self._catalogue = catalogue
        self._misfits = Misfits(catalogue)
        self._scope = ScopeKind(scope)
        self._owner = catalogue.get(flow_kind).described if to_isolated else None

    async def misfits(self, record: StateRecord) -> Sequence[Place]:
        """Where the state of ``record`` as it would be stored does not fit."""
        if self._owner is not None:
            return await self._misfits.alone(record, self._owner)
        return await self._misfits.of(record, None)

    async def misfits_of_resource(self, name: str, state: JsonObject) -> Sequence[Place]:
        return await self._misfits.of_resource(self._scope, name, state, self._readers())

    def _readers(self) -> Sequence[FlowDescription]:
        if self._owner is not None:
            return (self._owner,)
        described = [hosted.described for hosted in self._catalogue]
        return [flow for flow in described if not flow.isolates(self._scope)]
