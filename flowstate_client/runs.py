"""A run: one request that a flow's action executes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol, TypeVar, overload

from typing_extensions import TypeForm

from flowstate.v1 import flow_service_pb2, flow_service_pb2_grpc
from flowstate_client.arguments import bounded, seconds
from flowstate_client.calls import Caller
from flowstate_client.correlation import present_correlation_id
from flowstate_client.error_reasons import is_passing
from flowstate_client.errors import (
    ActionAborted,
    ActionFailed,
    ActionInterrupted,
    ApiError,
    DeadlineExceeded,
    TimeoutError,
)
from flowstate_client.event_pages import event_pages
from flowstate_client.events import Event
from flowstate_client.filters import event_filter
from flowstate_client.models import Cursor, Failure, RequestStatus, RunRecord
from flowstate_client.paging import AsyncPager
from flowstate_client.resuming import heartbeat
from flowstate_client.retry import Outage
from flowstate_client.stream import EventStream, cursor_of

T = TypeVar("T")

MAX_WAIT = 50.0
"""Seconds that one call waits at most; the server does not wait longer either."""
MAX_REASON_BYTES = 1024
# Seconds beyond the wait itself, for the way there and back, so that the server answers before the deadline does.
# Chosen.
_MARGIN = 5.0
# Seconds. A wait that comes back sooner was none.
_QUICK = 0.1


class RunHandle:
    """A request that was dispatched, here or elsewhere. Making one costs no round trip.

    Attributes:
        request_id: Its id.
        session_id: Its session; empty where only the id is known (``flows.handle``): ``get()`` tells.
        attached: Whether the dispatch found the request already there.
    """

    def __init__(
        self,
        caller: Caller,
        request_id: str,
        *,
        session_id: str = "",
        attached: bool = False,
        acknowledged: bool = False,
    ) -> None:
        self.request_id = request_id
        self.session_id = session_id
        self.attached = attached
        self._acknowledged = acknowledged
        self._caller = caller
        self._stub = flow_service_pb2_grpc.FlowServiceStub(caller.channels.unary)

    def __repr__(self) -> str:
        return f"RunHandle(request_id={self.request_id!r}, session_id={self.session_id!r})"

    def events(
        self,
        *,
        after: Cursor | Event | int | None = None,
        types: Iterable[str] = (),
        audience: str | None = None,
        max_outage: float | None = None,
        replay_only: bool = False,
    ) -> EventStream:
        """All events of the run from the start, or those behind ``after``, then live until it has ended.

        Args:
            after: A cursor, an event, or a sequence. ``None``: from the start.
            types: Only events of these types, for example ``("item.done", "request.completed")``. What a flow emits
                under names of its own is of the type ``custom``. The log is warned of a type that this client does not
                know, which only a newer server may have.
            audience: Only events for ``"client"``, ``"internal"`` or ``"history"``; the last two on the trusted plane.
            max_outage: Seconds without any connection after which the stream raises; ``None``: it goes on trying.
            replay_only: End after what is stored now, instead of waiting for more.
        """
        return EventStream(
            self._caller,
            self.request_id,
            after=cursor_of(after),
            filter=event_filter(types, audience),
            max_outage=max_outage,
            replay_only=replay_only,
        )

    def list_events(
        self,
        *,
        types: Iterable[str] = (),
        audience: str | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> AsyncPager[Event]:
        """The events that are stored now, in pages, without waiting for more; swept ones are left out in silence.

        ``types`` and ``audience`` as of :meth:`events`.

        Args:
            page_size: 0: the server's 50; at most 500.
        """
        return event_pages(
            self._caller,
            request_id=self.request_id,
            types=types,
            audience=audience,
            page_size=page_size,
            page_token=page_token,
        )

    @overload
    async def result(self, output: TypeForm[T], *, timeout: float | None = None) -> T: ...
    # Where the type that is expected lets the one above not fit, mypy goes on to the next: to Any it would be silent.
    @overload
    async def result(  # type: ignore[overload-cannot-match]
        self, output: TypeForm[object], *, timeout: float | None = None
    ) -> object: ...
    @overload
    async def result(self, output: Any = Any, *, timeout: float | None = None) -> Any: ...
    async def result(self, output: Any = Any, *, timeout: float | None = None) -> Any:
        """The output as ``output``, once the run has ended; waits ``timeout`` seconds, ``None``: as long as it takes.

        Raises:
            ActionFailed: the run failed; ``ActionAborted``, ``ActionInterrupted`` where it ended so.
            TimeoutError: it has not ended in time; it goes on.
            ApiError: nobody answered in time for a handle that was made from an id.
            ResponseValidationError: the output does not fit.
            RequestNotFound: no such request for this caller.
        """
        correlation_id = present_correlation_id()

        async def wait(limit: float) -> flow_service_pb2.WaitActionRequestResponse:
            request = flow_service_pb2.WaitActionRequestRequest(
                request_id=self.request_id, timeout=heartbeat(limit)
            )
            method = "FlowService/WaitActionRequest"
            return await self._caller.attempt(
                method,
                self._stub.WaitActionRequest,
                request,
                timeout=limit + _MARGIN,
                correlation_id=correlation_id,
            )

        ended = await wait_for_end(
            self._caller, wait, self.request_id, timeout, acknowledged=self._acknowledged
        )
        return output_of(self._caller, ended, output)

    async def get(self, *, timeout: float | None = None) -> RunRecord:
        """The request as stored now, with input and output.

        Raises:
            RequestNotFound: no such request for this caller.
        """
        request = flow_service_pb2.GetActionRequestRequest(request_id=self.request_id)
        response = await self._caller.read(
            "FlowService/GetActionRequest", self._stub.GetActionRequest, request, timeout=timeout
        )
        record = RunRecord.from_proto(response.action_request)
        self.session_id = record.session_id
        return record

    async def cancel(self, reason: str = "", *, timeout: float | None = None) -> RunRecord:
        """Asks the run to stop; answers when the wish is stored. An ended request is returned unchanged.

        The run ends ``aborted`` within seconds unless it ends otherwise before: wait with ``result()`` or ``events()``.

        Raises:
            RequestNotFound: no such request for this caller.
        """
        request = flow_service_pb2.CancelActionRequestRequest(
            request_id=self.request_id, reason=bounded(reason, "reason", MAX_REASON_BYTES)
        )
        response = await self._caller.write(
            "FlowService/CancelActionRequest", self._stub.CancelActionRequest, request, timeout=timeout
        )
        return RunRecord.from_proto(response.action_request)


class ActionStream(EventStream):
    """The events of an action that is started by asking for the first of them; ``run`` is its handle.

    ``run.session_id`` and ``run.attached`` are known from the first event on.
    """

    def __init__(
        self, caller: Caller, start: flow_service_pb2.StreamActionRequest, *, max_outage: float | None
    ) -> None:
        filter = start.filter if start.HasField("filter") else None
        super().__init__(
            caller, start.spec.request_id, after=Cursor(), filter=filter, max_outage=max_outage, start=start
        )
        self.run = RunHandle(caller, start.spec.request_id, session_id=start.spec.session_id)

    def _request_known(self, request: flow_service_pb2.ActionRequest, attached: bool) -> None:
        self.run.session_id = request.session_id
        self.run.attached = attached
        self.run._acknowledged = True


class Waited(Protocol):
    """An answer to a wait."""

    @property
    def done(self) -> bool:
        """Whether the request has ended."""
        ...

    @property
    def action_request(self) -> flow_service_pb2.ActionRequest:
        """The request."""
        ...


async def wait_for_end(
    caller: Caller,
    wait: Callable[[float], Coroutine[Any, Any, Waited]],
    request_id: str,
    timeout: float | None,
    *,
    acknowledged: bool = False,
) -> flow_service_pb2.ActionRequest:
    """Repeats ``wait(seconds)`` until the request has ended; survives outages of ``ClientConfig.timeout`` seconds.

    Raises:
        TimeoutError: ``timeout`` seconds are over, and a server has said that there is such a request.
        ApiError: they are over and none has, by ``acknowledged`` or in an answer: why not.
    """
    deadline = None if seconds(timeout, "timeout") is None else time.monotonic() + (timeout or 0.0)
    outage = Outage(caller.config.backoff, budget=caller.config.timeout)
    before: ApiError | None = None
    while True:
        left = MAX_WAIT if deadline is None else deadline - time.monotonic()
        asked = time.monotonic()
        try:
            answer = await wait(max(0.0, min(left, MAX_WAIT)))
        except ApiError as error:
            slow = isinstance(error, DeadlineExceeded)
            if not slow and not is_passing(error):
                raise
            if deadline is not None and deadline <= time.monotonic():
                if acknowledged:
                    raise _not_in_time(request_id, timeout) from error
                # Where only the time for the last attempt was too short, the one before says why.
                raise (before if slow and before is not None else error) from None
            before = error
            pause = outage.failed(retry_after=error.retry_after)
            if pause is None:
                raise
            caller.channels.waiting.notice(error, outage.seconds)
            if deadline is not None:
                pause = min(pause, max(0.0, deadline - time.monotonic()))
            await asyncio.sleep(pause)
            continue
        if answer.done:
            return answer.action_request
        acknowledged = True
        outage.over()
        if deadline is not None and deadline <= time.monotonic():
            raise _not_in_time(request_id, timeout)
        if time.monotonic() - asked < _QUICK:  # a server that does not wait must not be asked in a circle
            await asyncio.sleep(_QUICK)


def output_of(caller: Caller, request: flow_service_pb2.ActionRequest, output: Any) -> Any:
    """The output of a request that has ended.

    Raises:
        ActionFailed: it has none.
        ResponseValidationError: it does not fit ``output``.
    """
    status = RequestStatus.from_proto(request.status)
    if status is RequestStatus.COMPLETED:
        return caller.codec.decode((request.output.json or "null").encode(), output)
    if request.HasField("failure"):
        failure = Failure.from_proto(request.failure)
    else:
        interrupted = status is RequestStatus.INTERRUPTED
        failure = Failure(reason=status.name, message=request.stop_reason, retryable=interrupted)
    cls = _ENDINGS.get(status, ActionFailed)
    raise cls(failure, request_id=request.request_id, status=status)


_ENDINGS = {RequestStatus.ABORTED: ActionAborted, RequestStatus.INTERRUPTED: ActionInterrupted}


def _not_in_time(request_id: str, timeout: float | None) -> TimeoutError:
    return TimeoutError(f"request {request_id} has not ended within {timeout:g} s; it goes on")
