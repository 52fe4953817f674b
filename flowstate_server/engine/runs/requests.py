"""Reading, awaiting and cancelling requests, wherever they run."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from flowstate_server.engine.bindings import check_owner
from flowstate_server.engine.calls.runs import Waited
from flowstate_server.engine.logs.following import Following, topic_of
from flowstate_server.engine.runs.gates import refuse_own_gate
from flowstate_server.engine.runs.supervisor import Supervisor
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import RequestNotFoundError, ValidationFailedError, Violation
from flowstate_server.log_context import found
from flowstate_server.model.clock import Seconds
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import check_id
from flowstate_server.model.records import RequestRecord, RequestStatus
from flowstate_server.model.scopes import RequestKey
from flowstate_server.stores.contract.writes import RequestCancel
from flowstate_server.stores.store import Store

# A sentence or two for people; it travels with every answer about the request. Chosen.
MAX_REASON_BYTES = 1024


class Requests:
    def __init__(self, store: Store, supervisor: Supervisor, settings: EngineSettings) -> None:
        self._store = store
        self._supervisor = supervisor
        self._settings = settings

    async def get(self, principal: Principal, request_id: str) -> RequestRecord:
        """The request, if it is the caller's; else ``RequestNotFoundError``."""
        key = RequestKey(principal.tenant, check_id("request_id", request_id))
        record = await self._store.get_request(key)
        if record is None:
            raise RequestNotFoundError(request_id)
        check_owner(principal, record.head, record.org_id)
        found(record)
        return record

    async def wait(
        self, principal: Principal, request_id: str, timeout: Seconds, *, within: str = ""
    ) -> Waited:
        """The request once it has ended, or as it is after ``timeout`` seconds. ``within`` is the running request that
        waits, if it is one.

        Raises:
            ConcurrencyRejectedError: the request waits for the end of ``within``.
        """
        run = self._supervisor.find(RequestKey(principal.tenant, request_id))
        if run is not None:
            check_owner(principal, run.head, run.record.org_id)
            found(run.record)
            try:
                async with asyncio.timeout(timeout):
                    await run.ended.wait()
            except TimeoutError:
                return Waited(await self.get(principal, request_id), done=False)
            if run.head.status.ended:
                return Waited(run.record, done=True)
        return await self._wait_elsewhere(principal, request_id, timeout, within)

    async def cancel(self, principal: Principal, request_id: str, reason: str) -> RequestRecord:
        """Ask for the request's end, wherever it runs; one that has ended is returned unchanged."""
        if len(reason.encode()) > MAX_REASON_BYTES:
            problem = f"must be at most {MAX_REASON_BYTES} bytes of UTF-8"
            raise ValidationFailedError((Violation("reason", "too_long", problem),))
        record = await self.get(principal, request_id)
        if record.head.status.ended:
            return record
        await self._store.commit((RequestCancel(record.key, reason, record.scopes, record.head.gate),))
        run = self._supervisor.find(record.key)
        if run is not None:
            run.stop(RequestStatus.ABORTED, reason)
        return await self.get(principal, request_id)

    async def _wait_elsewhere(
        self, principal: Principal, request_id: str, timeout: Seconds, within: str
    ) -> Waited:
        topic = topic_of(RequestKey(principal.tenant, request_id))
        with self._store.watch((topic,)) as watch:
            following = Following(watch, lambda: self.get(principal, request_id))
            record = await following.next()
            await refuse_own_gate(self._store, record.head, within)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while record.head.status.open:
                        run = self._supervisor.find(record.key)
                        if run is not None:  # a queued one, begun here: what it emits needs no reading
                            await run.ended.wait()
                        record = await following.next(at_latest=self._settings.heartbeat)
        return Waited(record, done=record.head.status.ended)
