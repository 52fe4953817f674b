"""Queued requests that end without having begun: what keeps them from it, and those that have waited too long."""

from __future__ import annotations

import asyncio
import logging

from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import LeaseLostError, NotFoundError, RequestTerminalError, StoreUnavailableError
from flowstate_server.log_context import about
from flowstate_server.model.clock import SECOND, Micros, Seconds
from flowstate_server.model.documents import Document
from flowstate_server.model.gates import patience_range, waiting_until
from flowstate_server.model.payloads import RequestFailed
from flowstate_server.model.records import Failure, RequestRecord, RequestStatus
from flowstate_server.stores.contract.document_writes import DeleteDocument
from flowstate_server.stores.contract.writes import FinishRequest, Write
from flowstate_server.stores.store import Store

_logger = logging.getLogger(__name__)

# Requests whose time is over, ended one after another: few are at any time. Chosen.
PAGE = 100

TOO_LATE = Failure("QUEUE_TIMEOUT", "it waited in the queue for too long, and never began")


async def fail_unbegun(store: Store, record: RequestRecord, failure: Failure, *writes: Write) -> None:
    """End a queued request as failed, in a batch with ``writes``.

    Raises:
        LeaseLostError, RequestTerminalError, NotFoundError: it has begun or ended meanwhile.
    """
    told = RequestFailed(failure, elapsed=Micros(0))
    finish = FinishRequest(
        request=record.key,
        status=RequestStatus.FAILED,
        event=told.type,
        payload=told.members(),
        scopes=record.scopes,
        failure=failure,
        unbegun=True,
        gate=record.head.gate,
    )
    await store.commit((finish, *writes))
    _logger.info("request %s failed unbegun: %s", record.key.request_id, failure.reason)


class Patience:
    """Ends requests that have waited too long. Any server does it for all, whatever flows it has."""

    def __init__(self, store: Store, settings: EngineSettings) -> None:
        self._store = store
        self._settings = settings
        self._sooner = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        self._task = asyncio.create_task(self._keep(), name="patience")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def expect(self, seconds: Seconds) -> None:
        """A request was queued that waits for so long at most."""
        if seconds < self._settings.renew_interval:
            self._sooner.set()

    async def _keep(self) -> None:
        while True:
            pause = self._settings.renew_interval
            self._sooner.clear()
            try:
                pause = min(pause, await self.look())
            except StoreUnavailableError:
                _logger.debug("could not read who has waited too long")
            except Exception:
                _logger.exception("ending who has waited too long broke; it is repeated")
            try:
                async with asyncio.timeout(pause):
                    await self._sooner.wait()
            except TimeoutError:
                continue

    async def look(self) -> Seconds:
        """End those whose time is over; after how many seconds another one's may be."""
        now = await self._store.time()
        while True:
            page = await self._store.read_documents(patience_range(limit=PAGE))
            for document in page:
                left = waiting_until(document.key).expire_time - now
                if left > 0:
                    return Seconds(left / SECOND)
                await self._end(document)
            if len(page) < PAGE:
                return self._settings.renew_interval

    async def _end(self, document: Document) -> None:
        request = waiting_until(document.key).request
        over = DeleteDocument(document.key)
        record = await self._store.get_request(request)
        if record is not None and record.head.status is RequestStatus.QUEUED:
            with about(record):
                try:
                    await fail_unbegun(self._store, record, TOO_LATE, over)
                    return
                except (LeaseLostError, RequestTerminalError, NotFoundError):
                    _logger.debug("request %s has begun or ended meanwhile", request.request_id)
        await self._store.commit((over,))
