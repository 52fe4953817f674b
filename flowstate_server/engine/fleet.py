"""What this process serves, for the other processes on its store, and whether its flows agree with theirs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from flowstate_server.engine.foreign_flows import compared, served_elsewhere, shared_flows
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import CrossFlowSchemaConflictError, ServiceError, StoreUnavailableError
from flowstate_server.model.clock import SECOND, Micros
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.recorded_flows import encode_served, served_key
from flowstate_server.programs.agreement import together
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.declarations import encode_declaration
from flowstate_server.stores.contract.document_writes import DeleteDocument, PutDocument
from flowstate_server.stores.store import Store

DECLARED_FOR = Micros(30 * 24 * 3600 * SECOND)
"""How long a declaration is remembered after a process has confirmed it last."""
SERVED_FOR = Micros(7 * 24 * 3600 * SECOND)
"""How long a process that died without a word is remembered; it counts for nothing without its lease. Far longer than
between two confirmations, far shorter than declarations: servers that die again and again leave one each time."""
CONFIRMED_EVERY = 3600.0
"""Seconds. Chosen: one small commit."""
FAREWELL_SECONDS = 1.0
"""A favour to those who list what is there; it must not make a stop over a store that hangs much longer."""

_logger = logging.getLogger(__name__)


class Fleet:
    """Records the flows of this process, and compares them with those of every process that holds a lease.

    Of two servers that start at once at least one sees the other, for each records first and then looks.
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
        conflict = await self._conflict()
        if conflict is not None:
            if not self._settings.allow_schema_conflict:
                raise conflict
            self._tell(logging.ERROR, f"served all the same, as it was allowed: {conflict}")

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
            if not self._was_fenced and loop.time() < due:
                continue
            try:
                await self._record()
                # A process that was taken for dead may find another one in its place, too late to refuse to serve.
                conflict = await self._conflict()
            except StoreUnavailableError:
                continue
            except Exception:
                _logger.exception("what this process serves could not be confirmed; it is tried again later")
            else:
                if conflict is not None:
                    self._tell(logging.ERROR, f"{conflict} This process serves on.")
            due = loop.time() + CONFIRMED_EVERY

    @property
    def _was_fenced(self) -> bool:
        return self._recorded not in ("", self._process_id())

    async def _record(self) -> None:
        process = self._process_id()
        flows = shared_flows(self._catalogue)
        if flows or self._recorded:
            puts = [
                PutDocument(name.key, encode_json(encode_declaration(flow)), lifetime=DECLARED_FOR)
                for name, flow in flows.items()
            ]
            served = PutDocument(served_key(process), encode_served(flows), lifetime=SERVED_FOR)
            gone = [DeleteDocument(served_key(self._recorded))] if self._was_fenced else []
            await self._store.commit((*puts, served, *gone))
            self._recorded = process

    async def _conflict(self) -> CrossFlowSchemaConflictError | None:
        """What keeps this process from serving beside the others, if something does; else the rest is told, once."""
        if not shared_flows(self._catalogue):
            return None
        foreign = await served_elsewhere(self._store, self._catalogue, process=self._process_id())
        found = compared(self._catalogue, foreign)
        if found.conflicts:
            return together([one.error() for one in found.conflicts])
        for note in found.notes:
            self._tell(logging.ERROR if note.loud else logging.WARNING, note.text)
        return None

    def _tell(self, level: int, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            _logger.log(level, "%s", text)
