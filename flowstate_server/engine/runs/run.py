"""A run: the in-process object that executes one request, from its dispatch to its terminal event."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from flowstate_server.engine.runs.failures import (
    ACTION_TIMEOUT,
    failure_of,
)
from flowstate_server.engine.runs.program_run import ProgramRun, RunParts
from flowstate_server.engine.runs.store_outage import FIRST_PAUSE, LONGEST_PAUSE
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import (
    ActionError,
    LeaseLostError,
    RequestNotFoundError,
    RequestTerminalError,
    UnclearCommitError,
)
from flowstate_server.log_context import enter_subject
from flowstate_server.model.clock import Seconds, elapsed_since
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.payloads import (
    RequestAborted,
    RequestCompleted,
    RequestFailed,
    RequestInterrupted,
    Terminal,
)
from flowstate_server.model.records import Failure, RequestHead, RequestRecord, RequestStatus, moved_on
from flowstate_server.programs.author_code import EXITS, called, contained, told_by
from flowstate_server.programs.program import Program
from flowstate_server.stores.contract.writes import FinishRequest

_logger = logging.getLogger(__name__)

ENDED_ELSEWHERE = (LeaseLostError, RequestTerminalError, RequestNotFoundError)


@frozen
class Ending:
    """How a run ends, and what its terminal event says."""

    status: RequestStatus
    told: Terminal
    output: bytes | None = None
    failure: Failure | None = None
    reason: str = ""


@frozen
class Stop:
    """Why a run is stopped from outside, and with which status it ends."""

    status: RequestStatus
    reason: str


class Run:
    """Executes one request. Its own task owns it: neither a caller that leaves nor a stream that breaks ends it."""

    def __init__(
        self,
        record: RequestRecord,
        program: Program,
        value: Any,
        parts: RunParts,
        settings: EngineSettings,
        timeout: Seconds | None,
    ) -> None:
        self.record = record
        self.ended = asyncio.Event()
        self._program = program
        self._value = value
        self._parts = parts
        self._recorder = parts.recorder
        self._settings = settings
        self._timeout = timeout
        self._started = time.monotonic()
        self._stop: Stop | None = None
        self._woken: asyncio.Future[None] = parts.loop.create_future()

    @property
    def head(self) -> RequestHead:
        return self.record.head

    @property
    def _described(self) -> str:
        record = self.record
        return f'request {self.head.key.request_id} (flow "{record.flow_kind}", action "{record.action}")'

    def stop(self, status: RequestStatus, reason: str) -> None:
        """Cancel the run's block and end the request with ``status``; without effect once it is ending."""
        if not self._woken.done():
            self._stop = Stop(status, reason)
            self._woken.set_result(None)

    @property
    def ending(self) -> bool:
        """Whether its block is over, or is being stopped."""
        return self._woken.done()

    def abandon(self) -> None:
        """The request was ended elsewhere: cancel the block and write nothing more."""
        self._recorder.close()
        self._wake()

    def _wake(self, _: object = None) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    async def main(self) -> None:
        """Execute the action, end the request, and never raise."""
        enter_subject(self.record)
        body = asyncio.create_task(self._body(), name=f"block of {self.head.key.request_id}")
        body.add_done_callback(_heard)
        try:
            ending = await self._watch(body)
            if ending is None:
                _logger.warning("request %s is abandoned: it was ended elsewhere", self.head.key.request_id)
            else:
                await self._finish(ending)
        except ENDED_ELSEWHERE as error:
            _logger.warning("request %s was ended elsewhere: %s", self.head.key.request_id, error)
        except Exception as error:
            await self._finish_broken(error)
        finally:
            self._recorder.close()
            body.cancel()
            self.ended.set()
            self._observed()

    def _observed(self) -> None:
        record = self.record
        self._parts.observer.run(
            flow_kind=record.flow_kind,
            action=record.action,
            request_id=record.key.request_id,
            seconds=time.monotonic() - self._started,
            outcome=record.head.status.value if record.head.status.ended else "lost",
        )

    async def _body(self) -> Any:
        for scope in self._parts.scopes.values():
            await scope.prepare()
        for resources in self._parts.resources.values():
            await resources.prepare()
        try:
            return await self._program.execute(
                self.record.action, self._value, ProgramRun(self._parts, self._woken.done)
            )
        except EXITS as error:
            raise contained(error) from error

    async def _watch(self, body: asyncio.Task[Any]) -> Ending | None:
        """Wait for the block, or stop it; ``None`` when the request was ended elsewhere."""
        body.add_done_callback(self._wake)
        timer = None
        if self._timeout is not None:
            timer = self._parts.loop.call_later(
                self._timeout, self.stop, RequestStatus.FAILED, ACTION_TIMEOUT
            )
        await self._woken
        if timer is not None:
            timer.cancel()
        if body.done():
            return self._ending_of(body)
        stop = self._stop
        body.cancel()
        await asyncio.wait((body,), timeout=self._settings.cancel_grace)
        if not body.done():
            _logger.warning(
                "a block of request %s ignores its cancellation and is abandoned", self.head.key.request_id
            )
        return None if stop is None else self._stopped(stop)

    def _ending_of(self, body: asyncio.Task[Any]) -> Ending | None:
        if body.cancelled():
            error: BaseException | None = asyncio.CancelledError("the block cancelled itself")
        else:
            error = body.exception()
            if error is not None and self._tells_of_its_end(told := told_by(error)):
                raise told
        if error is None:
            try:
                return self._completed(body.result())
            except Exception as bad_output:
                error = bad_output
        return self._failed(failure_of(error, self._described))

    def _tells_of_its_end(self, error: BaseException) -> bool:
        """Whether the block has learnt that the request ended elsewhere. What it learns of others is its affair."""
        if isinstance(error, RequestNotFoundError):
            return error.request_id == self.head.key.request_id
        return isinstance(error, LeaseLostError | RequestTerminalError)

    def _completed(self, value: Any) -> Ending:
        output = encode_json(called(self._program.dump_output, self.record.action, value))
        limit = self._settings.max_output_bytes
        if len(output) > limit:
            raise ActionError("OUTPUT_TOO_LARGE", f"the output has {len(output)} bytes, the limit is {limit}")
        elapsed = elapsed_since(self._started)
        if len(output) > self._settings.max_terminal_output_bytes:
            told = RequestCompleted(elapsed, output_omitted=True)
        else:
            told = RequestCompleted(elapsed, decode_json(output))
        return Ending(RequestStatus.COMPLETED, told, output)

    def _failed(self, failure: Failure) -> Ending:
        told = RequestFailed(failure, elapsed_since(self._started))
        return Ending(RequestStatus.FAILED, told, failure=failure)

    def _stopped(self, stop: Stop) -> Ending:
        if stop.status is RequestStatus.FAILED:
            return self._failed(Failure(ACTION_TIMEOUT, "the action took too long", retryable=False))
        if stop.status is RequestStatus.ABORTED:
            return Ending(stop.status, RequestAborted(stop.reason), reason=stop.reason)
        return Ending(stop.status, RequestInterrupted(stop.reason), reason=stop.reason)

    async def _finish_broken(self, error: Exception) -> None:
        """The end could not be stored as it was: the request still must not stay in progress."""
        ending = self._failed(failure_of(error, f"the end of {self._described}"))
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._finish(ending)
            except ENDED_ELSEWHERE as elsewhere:
                _logger.warning("request %s was ended elsewhere: %s", self.head.key.request_id, elsewhere)
                return None
            except Exception:
                _logger.exception("request %s can't be ended yet", self.head.key.request_id)
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)

    async def _finish(self, ending: Ending) -> None:
        """Commit the end in one batch with all that is held, once the store is there."""
        self._parts.items.close_open()
        finish = FinishRequest(
            request=self.head.key,
            status=ending.status,
            event=ending.told.type,
            payload=ending.told.members(),
            scopes=self.record.scopes,
            output=ending.output,
            failure=ending.failure,
            reason=ending.reason,
            sequence=self._recorder.sequence,
            gate=self.head.gate,
        )
        held = await self._recorder.last()
        while True:
            try:
                result = await self._recorder.end(finish, held)
            except UnclearCommitError:
                continue  # if it was done after all, the next attempt is refused
            head = result.results[-1].head or self.head
            self.record = moved_on(
                self.record, head, output=ending.output, failure=ending.failure, reason=ending.reason
            )
            return


def _heard(body: asyncio.Task[Any]) -> None:
    """What becomes of a block that was stopped or abandoned concerns nobody."""
    if not body.cancelled():
        body.exception()
