"""A tail that resumes by itself."""

# Written by .ci/codegen/sync_client.py from flowstate_client/stream.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

from typing_extensions import TypeForm

from flowstate_client import stream as asynchronous
from flowstate_client.events import Event
from flowstate_client.models import Cursor, Scope
from flowstate_client.sync.event_view import EventsWithView
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.streams import Stream

T = TypeVar("T")


class EventStream(Stream[Event]):
    """The events of one request, in order, each exactly once, until the request has ended; or those of a session, over
    all its requests, until it is deleted.

    Use it in ``for``, or in ``with`` where the end of use should not wait for anything::

        with run.events() as events:
            for event in events:
                ...

    It survives lost connections, servers that go away and proxies that close or freeze streams: it resumes behind the
    last event, with growing pauses. Leaving the loop by ``break``, an exception or a cancellation ends the call on the
    server at once, as soon as nobody holds the stream; a stream kept in a variable can be iterated further, and is
    ended by ``with`` or ``close()``. Nothing is sent before the first event is asked for.

    Iterating raises:
        ConnectError: no tail for longer than ``max_outage``; or the first did not begin within
            ``ClientConfig.timeout``.
        ApiError: the server refuses, for example ``RequestNotFound``.
        ProtocolError: the tail has a hole or a repeat.
    """

    def __init__(self, thread: LoopThread, event_stream: asynchronous.EventStream) -> None:
        super().__init__(thread, event_stream)
        self._event_stream = event_stream

    @property
    def request_id(self) -> str:
        return self._event_stream.request_id

    @property
    def cursor(self) -> Cursor:
        return self._event_stream.cursor

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

            for event, view in run.events().with_view(ChatView):
                ...

        Args:
            model, names: As for ``client.sessions.snapshot``.
        """
        return EventsWithView(self._thread, self._event_stream.with_view(model, names=names))

    @property
    def deleted(self) -> bool:
        """Whether the stream is over since the session was deleted: no event tells of an end then."""
        return self._event_stream.deleted
