"""What this process serves, for the other processes on its store, and whether its flows agree with theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container, Iterator
from typing import NamedTuple

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import CrossFlowSchemaConflictError, ServiceError, StoreUnavailableError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.recorded_flows import (
    RecordedFlow,
    decode_served,
    encode_served,
    recorded_flow,
    served_key,
)
from flowstate_server.programs.agreement import UPGRADES, Agreement, Conflict, agreement
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.declarations import (
    FlowDeclaration,
    declaration_hash,
    decode_declaration,
    encode_declaration,
    portable,
)
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.store import Store

DECLARED_FOR = Micros(30 * 24 * 3600 * SECOND)
"""How long a declaration is remembered after a process has confirmed it last."""
SERVED_FOR = Micros(7 * 24 * 3600 * SECOND)
"""How long a process that died without a word is remembered; it counts for nothing without its lease. Far longer than
between two confirmations, far shorter than declarations: servers that die again and again leave one each time."""
CONFIRMED_EVERY = 3600.0
"""Seconds. Chosen: one small commit."""
FAREWELL_SECONDS = 2.0

_logger = logging.getLogger(__name__)


class Foreign(NamedTuple):
    """A flow of another process, as that recorded it."""

    process: str
    declaration: FlowDeclaration


class Fleet:
    """Records the flows of this process, and compares them with those of every process that holds a lease.

    A flow of the same kind is another deploy of the same flow, which is on its way out or in: generations are there for
    that, and it is no conflict. Of two servers that start at once at least one sees the other, for each records first
    and then looks.
    """

    def __init__(
        self, store: Store, catalogue: Catalogue, settings: EngineSettings, process_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._settings = settings
        self._process_id = process_id
        self._recorded = ""
        self._told: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """
        Raises:
            CrossFlowSchemaConflictError: a flow of another process shares a record with one of this process and
                declares it otherwise, and the settings don't allow that.
        """
        conflict = await self._first_conflict()
        if conflict is not None:
            error = _error(*conflict)
            if not self._settings.allow_schema_conflict:
                raise error
            self._tell(logging.ERROR, f"served all the same, as it was allowed: {error}")

    async def join(self) -> None:
        """Record what this process serves, and :meth:`check`. The process holds its lease."""
        await self._record()
        await self.check()

    def open(self) -> None:
        """Confirm it from now on."""
        self._task = asyncio.create_task(self._keep(), name="fleet")

    async def close(self) -> None:
        """Take back what says that the process serves; the declarations stay."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._recorded:
            try:
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await self._store.commit((DeleteDocument(served_key(self._recorded)),))
            except (TimeoutError, ServiceError) as error:
                _logger.info("what process %s served is left to expire: %s", self._recorded, error)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + CONFIRMED_EVERY
        while True:
            await asyncio.sleep(self._settings.lease)
            anew = self._recorded != self._process_id()  # it was fenced
            if not anew and loop.time() < due:
                continue
            try:
                await self._record()
                await self._look()
            except StoreUnavailableError:
                continue
            except Exception:
                _logger.exception("what this process serves could not be confirmed; it is tried again")
            due = loop.time() + CONFIRMED_EVERY

    async def _look(self) -> None:
        """A process that was taken for dead may find another one in its place: too late to refuse to serve."""
        conflict = await self._first_conflict()
        if conflict is not None:
            self._tell(logging.ERROR, f"{_error(*conflict)} This process serves on.")

    async def _record(self) -> None:
        process = self._process_id()
        flows = self._own()
        if flows or self._recorded:
            puts = [
                PutDocument(name.key, encode_json(encode_declaration(flow)), lifetime=DECLARED_FOR)
                for name, flow in flows.items()
            ]
            served = PutDocument(served_key(process), encode_served(flows), lifetime=SERVED_FOR)
            gone = {self._recorded} - {"", process}
            await self._store.commit((*puts, served, *(DeleteDocument(served_key(one)) for one in gone)))
            self._recorded = process

    def _own(self) -> dict[RecordedFlow, FlowDeclaration]:
        """Those of this process's flows that share anything."""
        shared = [hosted.described.shared for hosted in self._catalogue]
        return {RecordedFlow(flow.kind, declaration_hash(flow)): flow for flow in shared if flow.scopes}

    async def _first_conflict(self) -> tuple[Foreign, Conflict] | None:
        """What keeps this process from serving beside the others. What is no conflict is told, once."""
        own = self._own()
        if not own:
            return None
        flows = [portable(flow) for flow in own.values()]
        found: list[tuple[Foreign, Conflict]] = []
        for foreign in await self._foreign(own):
            for flow in flows:
                if foreign.declaration.kind in self._catalogue:
                    if foreign.declaration.kind == flow.kind:
                        self._tell_of_deploy(foreign, flow)
                    continue
                compared = agreement(foreign.declaration, flow)
                found += [(foreign, conflict) for conflict in compared.conflicts]
                if not compared.conflicts:
                    self._tell_remarks(foreign, compared)
        return found[0] if found else None

    async def _foreign(self, own: Container[RecordedFlow]) -> list[Foreign]:
        """The flows of processes that hold a lease, but for those that are declared here just so."""
        leased = await self._store.leased()
        keys = [served_key(one.process) for one in leased if one.process != self._process_id()]
        served = await self._store.load_documents(keys) if keys else {}
        names: dict[RecordedFlow, str] = {}
        for key, document in served.items():
            names |= {name: key.name[0] for name in decode_served(document) if name not in own}
        declared = await self._store.load_documents([name.key for name in names]) if names else {}
        return [
            Foreign(names[recorded_flow(key)], flow)
            for key, document in sorted(declared.items())
            for flow in _decoded(document.text)
        ]

    def _tell_of_deploy(self, foreign: Foreign, flow: FlowDeclaration) -> None:
        for conflict in agreement(foreign.declaration, flow).conflicts:
            theirs, ours = (one.scopes[conflict.scope].generation for one in (foreign.declaration, flow))
            if conflict.reason != UPGRADES and theirs == ours:
                self._tell(
                    logging.WARNING,
                    f'process {foreign.process} serves another deploy of flow "{flow.kind}", which declares the '
                    f'{conflict.scope} state field "{conflict.field}" otherwise ({conflict.reason}: {conflict.detail}) '
                    f"in the same generation, {ours}: what one of them writes, the other one may fail to read",
                )

    def _tell_remarks(self, foreign: Foreign, compared: Agreement) -> None:
        for remark in compared.remarks:
            level = logging.ERROR if remark.loud else logging.WARNING
            self._tell(level, f"{remark.text} (process {foreign.process})")

    def _tell(self, level: int, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            _logger.log(level, "%s", text)


def _error(foreign: Foreign, conflict: Conflict) -> CrossFlowSchemaConflictError:
    return conflict.error(f'Flow "{foreign.declaration.kind}" is served by process {foreign.process}.')


def _decoded(text: bytes) -> Iterator[FlowDeclaration]:
    try:
        yield decode_declaration(decode_json(text))
    except (LookupError, TypeError, ValueError) as error:
        _logger.warning(
            "what another process recorded of a flow can't be understood: %s", type(error).__name__
        )
