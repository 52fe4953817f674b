"""A tail that resumes by itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import grpc.aio
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

from flowstate.v1 import event_service_pb2, flow_service_pb2, flow_service_pb2_grpc
from flowstate_client.calls import Caller
from flowstate_client.channel import TailLease
from flowstate_client.error_reasons import is_passing
from flowstate_client.errors import ApiError, ConnectError, DeadlineExceeded, FlowStateError, SlowConsumer
from flowstate_client.events import Event, Trimmed
from flowstate_client.ids import new_correlation_id
from flowstate_client.metadata import Pairs
from flowstate_client.models import Cursor
from flowstate_client.retry import Outage
from flowstate_client.snapshots import Snapshot, read_snapshot
from flowstate_client.tail_call import SilenceError, TailCall
from flowstate_client.tail_frames import Frame, FrameReader

_logger = logging.getLogger("flowstate_client")


class EventStream:
    """The events of one request, in order, each exactly once, until the request has ended; or those of a session, over
    all its requests, until it is deleted.

    Use it in ``async for``, or in ``async with`` where the end of use should not wait for anything::

        async with run.events() as events:
            async for event in events:
                ...

    It survives lost connections, servers that go away and proxies that close or freeze streams: it resumes behind the
    last event, with growing pauses. Leaving the loop by ``break``, an exception or a cancellation ends the call on the
    server at once, as soon as nobody holds the stream; a stream kept in a variable can be iterated further, and is
    ended by ``async with`` or ``aclose()``. Nothing is sent before the first event is asked for.

    Iterating raises:
        ConnectError: no tail for longer than ``max_outage``; or the first did not begin within
            ``ClientConfig.timeout``.
        ApiError: the server refuses, for example ``RequestNotFound``.
        ProtocolError: the tail has a hole or a repeat.
    """

    def __init__(
        self,
        caller: Caller,
        request_id: str = "",
        *,
        session_id: str = "",
        after: Cursor,
        filter: event_service_pb2.EventFilter | None = None,
        max_outage: float | None = None,
        replay_only: bool = False,
        start: flow_service_pb2.StreamActionRequest | None = None,
    ) -> None:
        self.request_id = request_id
        """Empty where the events are those of a session."""
        self.cursor = after
        """Where to resume behind what was yielded so far."""
        self._caller = caller
        self._start = start
        self._replay_only = replay_only
        self._max_outage = max_outage
        self._filter = filter
        self._of_session = bool(session_id)
        self._frames = FrameReader(after, of_session=self._of_session)
        self._events: deque[Event] = deque()
        self._lease: TailLease | None = None
        self._call: TailCall | None = None
        self._answered = False  # whether the present call has delivered anything
        self._metadata: Pairs = ()
        self._correlation_id = new_correlation_id()
        self._snapshot: Snapshot[Any] | None = None
        self._session_id = session_id  # of a request it is known when something was found to be swept
        self._closed = False
        self._busy = False
        config = caller.config
        first_budget = config.timeout if max_outage is None else min(config.timeout, max_outage)
        self._outage = Outage(config.backoff, budget=first_budget, healthy_after=config.healthy_after)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if self._busy:
            raise RuntimeError("this stream is already being read by another task")
        self._busy = True
        try:
            while not self._events:
                if self._closed:
                    raise StopAsyncIteration
                if self._frames.ended:
                    await self._finish()
                else:
                    self._events.extend(await self._more())
            first = self._events[0]
            if isinstance(first, Trimmed):
                snapshot = await self._present()
                self._events[0] = replace(
                    first, request_id=self.request_id, session_id=self._session_id, snapshot=snapshot
                )
        except asyncio.CancelledError:
            # Not closed: who catches the cancellation may read on, from the same position.
            self._hang_up()
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                raise StopAsyncIteration from None
            self._caller.raise_if_closed()
            raise
        except BaseException:
            self._close()
            raise
        finally:
            self._busy = False
        event = self._events.popleft()
        self.cursor = event.cursor if self._events else self._frames.position
        return event

    async def aclose(self) -> None:
        """Ends the stream; the server is told at once. Harmless if it is over."""
        self._close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def deleted(self) -> bool:
        """Whether the stream is over since the session was deleted: no event tells of an end then."""
        return self._frames.deleted

    def _request_known(self, request: flow_service_pb2.ActionRequest, attached: bool) -> None:
        """The first answer of a StreamAction has come."""

    async def _more(self) -> list[Event]:
        """The events of the next frame; reconnects as often as it takes."""
        while True:
            try:
                if self._call is None:
                    self._call = await self._dial()
                config = self._caller.config
                silence = self._frames.silence if self._answered else config.connect_timeout
                message = await self._call.read(silence)
            except grpc.aio.AioRpcError as rpc_error:
                error = await self._caller.error_of(rpc_error, self._method, self._metadata)
            except SilenceError:
                error = self._broken("nothing came from the server for too long")
            else:
                if message is not None:
                    frame = self._unwrap(message)
                    return [] if frame is None else self._take(frame)
                error = self._broken("the stream was closed before its end")
            self._hang_up()
            await self._pause(error)

    def _unwrap(self, message: Any) -> Frame | None:
        self._answered = True
        if isinstance(message, flow_service_pb2.StreamActionResponse):
            if message.HasField("action_request"):
                self._request_known(message.action_request, message.attached)
            return message.tail if message.HasField("tail") else None
        frame: Frame = message
        return frame

    def _take(self, frame: Frame) -> list[Event]:
        events = self._frames.take(frame)
        self._outage.over()
        self._outage.budget = self._max_outage
        return events

    async def _dial(self) -> TailCall:
        self._caller.check_open()
        self._metadata = await self._caller.metadata.build(self._correlation_id)
        if self._lease is None:
            self._lease = self._caller.channels.lease_tail()
        self._answered = False
        if self._start is not None and not self._frames.received:
            self._caller.check_size(self._start)
            return TailCall(self._lease.flows.StreamAction(self._start, metadata=self._metadata))
        request = event_service_pb2.TailEventsRequest(
            filter=self._filter,
            after=self._frames.position.to_proto(),
            heartbeat_interval=heartbeat(self._caller.config.heartbeat_interval),
            replay_only=self._replay_only,
        )
        if self._of_session:
            request.session_id = self._session_id
        else:
            request.request_id = self.request_id
        return TailCall(self._lease.events.TailEvents(request, metadata=self._metadata))

    async def _pause(self, error: ApiError) -> None:
        resumes = is_passing(error) or isinstance(error, (SlowConsumer, DeadlineExceeded))
        pause = self._outage.failed(retry_after=error.retry_after) if resumes else None
        if pause is None:
            raise error
        _logger.info("the tail of %s broke off, resumes in %.2f s: %s", self._name, pause, error)
        await asyncio.sleep(pause)

    async def _present(self) -> Snapshot[Any] | None:
        """What the flow shows of the session: what was swept, was swept before this is read."""
        if self._snapshot is None:
            try:
                if not self._session_id:
                    self._session_id = await self._session_of_request()
                self._snapshot = await read_snapshot(self._caller, self._session_id)
            except FlowStateError as error:
                _logger.info("no snapshot for the trimmed tail of %s: %s", self._name, error)
        return self._snapshot

    async def _session_of_request(self) -> str:
        request = flow_service_pb2.GetActionRequestRequest(request_id=self.request_id)
        stub = flow_service_pb2_grpc.FlowServiceStub(self._caller.channels.unary)
        found = await self._caller.read("FlowService/GetActionRequest", stub.GetActionRequest, request)
        return found.action_request.session_id

    async def _finish(self) -> None:
        """Lets the call end by itself after ``ended``, so that the server sees no cancellation."""
        if self._call is not None:
            with contextlib.suppress(grpc.aio.AioRpcError, SilenceError):
                await self._call.read(1.0)
        self._close()

    def _hang_up(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _close(self) -> None:
        self._closed = True
        self._events.clear()
        self._hang_up()
        self._lease = None

    def _broken(self, problem: str) -> ConnectError:
        return ConnectError(
            problem, code=StatusCode.UNAVAILABLE, method=self._method, correlation_id=self._correlation_id
        )

    @property
    def _name(self) -> str:
        return self.request_id or self._session_id

    @property
    def _method(self) -> str:
        starting = self._start is not None and not self._frames.received
        return "FlowService/StreamAction" if starting else "EventService/TailEvents"


def heartbeat(interval: float | None) -> Duration | None:
    """The heartbeat to ask the server for, if any."""
    if interval is None:
        return None
    duration = Duration()
    duration.FromNanoseconds(round(interval * 1e9))
    return duration


def cursor_of(after: Cursor | Event | int | None) -> Cursor:
    """The position behind a cursor, an event or a sequence; ``None`` is the start."""
    match after:
        case None:
            return Cursor()
        case Cursor():
            return after
        case Event():
            return after.cursor
        case int() if after >= 0:
            return Cursor("", after)
    raise ValueError(f"after must be a Cursor, an Event or a sequence, not {after!r}")
