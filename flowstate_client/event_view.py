"""The events of a run together with what its flow shows: all that a screen needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from flowstate_client.calls import Caller
from flowstate_client.error_reasons import is_passing
from flowstate_client.errors import ApiError, DeadlineExceeded
from flowstate_client.events import Event, ResourceChange, StateChange, TerminalEvent, Trimmed
from flowstate_client.models import Scope
from flowstate_client.resuming import ResumingStream
from flowstate_client.snapshots import Snapshot, read_snapshot

T = TypeVar("T")

_SHOWN = (Scope.SESSION, Scope.USER, Scope.ORG)


class Moment(NamedTuple, Generic[T]):
    """An event, and a view of the session that is as new as the event or newer."""

    event: Event
    view: Snapshot[T]


class EventsWithView(Generic[T]):
    """Each event of a run with what the flow shows of its session; made by ``EventStream.with_view``.

    The view is read ahead of the first event, again with an event that says that something shown has changed since it
    was read, and when the run ends. One reading covers all events up to it, so a replay and a burst cost one. Changes
    of a user's or an org's record that another session makes meanwhile show with the next reading; to see all of them
    at once, watch the session (``client.sessions.watch``).

    Iterating raises what the stream and ``client.sessions.snapshot`` raise; an outage is waited for as by the stream.
    """

    def __init__(
        self,
        events: ResumingStream[Event],
        caller: Caller,
        find_session: Callable[[], Awaitable[str]],
        *,
        model: Any,
        names: Mapping[Scope, Sequence[str]] | None,
        max_outage: float | None,
    ) -> None:
        self._events = events
        self._caller = caller
        self._find_session = find_session
        self._model = model
        self._names = names
        self._max_outage = max_outage
        self._event: Event | None = None  # taken from the stream, and not yielded yet
        self._view: Snapshot[T] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Moment[T]:
        event = self._event
        if event is None:
            event = self._event = await anext(self._events)
        view = self._view
        if view is None or _is_outdated(view, event):
            view = self._view = await self._read(event)
        self._event = None
        return Moment(event, view)

    async def aclose(self) -> None:
        """Ends the stream; the server is told at once. Harmless if it is over."""
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _read(self, event: Event) -> Snapshot[T]:
        while True:
            try:
                session_id = event.session_id or await self._find_session()
                view: Snapshot[T] = await read_snapshot(
                    self._caller,
                    session_id,
                    model=self._model,
                    names=self._names,
                    timeout=self._max_outage,
                )
                return view
            except ApiError as error:
                passes = is_passing(error) or isinstance(error, DeadlineExceeded)
                if self._max_outage is not None or not passes:
                    raise


def _is_outdated(view: Snapshot[Any], event: Event) -> bool:
    match event:
        case Trimmed():  # what was swept may have been a change
            return True
        case TerminalEvent():
            pass
        case StateChange() | ResourceChange() if event.scope in _SHOWN:
            pass
        case _:
            return False
    return event.session_sequence > view.cursor.sequence
