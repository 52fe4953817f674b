"""A tail that resumes by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

import grpc.aio
from google.protobuf.message import Message
from typing_extensions import TypeForm

from flowstate.v1 import event_service_pb2, flow_service_pb2, flow_service_pb2_grpc
from flowstate_client.calls import Caller
from flowstate_client.connections import TailLease
from flowstate_client.errors import FlowStateError
from flowstate_client.event_view import EventsWithView
from flowstate_client.events import Event, Trimmed
from flowstate_client.models import Cursor, Scope
from flowstate_client.resuming import ResumingStream, heartbeat
from flowstate_client.snapshots import Snapshot, read_snapshot
from flowstate_client.tail_frames import Frame, FrameReader

T = TypeVar("T")

_logger = logging.getLogger("flowstate_client")


class EventStream(ResumingStream[Event]):
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
        super().__init__(caller, max_outage=max_outage)
        self.request_id = request_id
        """Empty where the events are those of a session."""
        self.cursor = after
        """Where to resume behind what was yielded so far."""
        self._start = start
        self._replay_only = replay_only
        self._filter = filter
        self._of_session = bool(session_id)
        self._frames = FrameReader(after, of_session=self._of_session)
        self._snapshot: Snapshot[Any] | None = None
        self._session_id = session_id  # of a request it is known when something was found to be swept

    async def __anext__(self) -> Event:
        event = await super().__anext__()
        self.cursor = event.cursor if self._waiting else self._frames.position
        return event

    @overload
    def with_view(  # pyright: ignore[reportOverlappingOverload]
        self, model: TypeForm[T], *, names: Mapping[Scope, Sequence[str]] | None = ...
    ) -> EventsWithView[T]: ...
    # As of RunHandle.result.
    @overload
    def with_view(  # type: ignore[overload-cannot-match]
        self, model: TypeForm[object], *, names: Mapping[Scope, Sequence[str]] | None = ...
    ) -> EventsWithView[object]: ...
    @overload
    def with_view(
        self, model: Any = ..., *, names: Mapping[Scope, Sequence[str]] | None = ...
    ) -> EventsWithView[Any]: ...
    def with_view(
        self, model: Any = Any, *, names: Mapping[Scope, Sequence[str]] | None = None
    ) -> EventsWithView[Any]:
        """These events, each with what the flow shows of the session, fresh where it has changed and at the end::

            async for event, view in run.events().with_view(ChatView):
                ...

        Args:
            model, names: As for ``client.sessions.snapshot``.
        """
        return EventsWithView(
            self,
            self._caller,
            self._find_session,
            model=model,
            names=names,
            max_outage=self._max_outage,
        )

    @property
    def deleted(self) -> bool:
        """Whether the stream is over since the session was deleted: no event tells of an end then."""
        return self._frames.deleted

    def _request_known(self, request: flow_service_pb2.ActionRequest, attached: bool) -> None:
        """The first answer of a StreamAction has come."""

    def _open(self, lease: TailLease) -> tuple[Callable[..., grpc.aio.UnaryStreamCall[Any, Any]], Message]:
        if self._start is not None and not self._frames.received:
            self._caller.check_size(self._start)
            return lease.flows.StreamAction, self._start
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
        return lease.events.TailEvents, request

    def _take(self, message: Any) -> Sequence[Event] | None:
        if isinstance(message, flow_service_pb2.StreamActionResponse):
            if message.HasField("action_request"):
                self._request_known(message.action_request, message.attached)
            return self._frames.take(message.tail) if message.HasField("tail") else None
        frame: Frame = message
        return self._frames.take(frame)

    @property
    def _ended(self) -> bool:
        return self._frames.ended

    @property
    def _silence(self) -> float:
        return self._frames.silence

    @property
    def _method(self) -> str:
        starting = self._start is not None and not self._frames.received
        return "FlowService/StreamAction" if starting else "EventService/TailEvents"

    @property
    def _subject(self) -> str:
        return self.request_id or self._session_id

    async def _completed(self, value: Event) -> Event:
        if not isinstance(value, Trimmed):
            return value
        snapshot = await self._present(value)
        return replace(value, request_id=self.request_id, session_id=self._session_id, snapshot=snapshot)

    async def _present(self, gap: Trimmed) -> Snapshot[Any] | None:
        """What the flow shows of the session, with all that is missing at ``gap`` in it."""
        known = self._snapshot  # that of a request's log has cursors of the session's
        if not (known is not None and self._of_session and known.cursor.sequence >= gap.last):
            self._snapshot = None
            try:
                session_id = await self._find_session()
                self._snapshot = await read_snapshot(self._caller, session_id)
            except FlowStateError as error:
                _logger.info("no snapshot for the trimmed tail of %s: %s", self._subject, error)
        return self._snapshot

    async def _find_session(self) -> str:
        if not self._session_id:
            request = flow_service_pb2.GetActionRequestRequest(request_id=self.request_id)
            stub = flow_service_pb2_grpc.FlowServiceStub(self._caller.channels.unary)
            method = "FlowService/GetActionRequest"
            found = await self._caller.read(method, stub.GetActionRequest, request)
            self._session_id = found.action_request.session_id
        return self._session_id


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
