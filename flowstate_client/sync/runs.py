"""A run: one request that a flow's action executes."""

# Written by .ci/codegen/sync_client.py from flowstate_client/runs.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, overload

from typing_extensions import TypeForm

from flowstate_client import runs as asynchronous
from flowstate_client.events import Event
from flowstate_client.models import Cursor, RunRecord
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.paging import Pager
from flowstate_client.sync.stream import EventStream

T = TypeVar("T")


class RunHandle:
    """A request that was dispatched, here or elsewhere. Making one costs no round trip.

    Attributes:
        request_id: Its id.
        session_id: Its session; empty where only the id is known (``flows.handle``): ``get()`` tells.
        attached: Whether the dispatch found the request already there.
    """

    def __init__(self, thread: LoopThread, run_handle: asynchronous.RunHandle) -> None:
        self._thread = thread
        self._run_handle = run_handle

    @property
    def request_id(self) -> str:
        return self._run_handle.request_id

    @property
    def session_id(self) -> str:
        return self._run_handle.session_id

    @property
    def attached(self) -> bool:
        return self._run_handle.attached

    def __repr__(self) -> str:
        return repr(self._run_handle)

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
            self._thread,
            self._run_handle.events(
                after=after, types=types, audience=audience, max_outage=max_outage, replay_only=replay_only
            ),
        )

    def list_events(
        self,
        *,
        types: Iterable[str] = (),
        audience: str | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pager[Event]:
        """The events that are stored now, in pages, without waiting for more; swept ones are left out in silence.

        ``types`` and ``audience`` as of :meth:`events`.

        Args:
            page_size: 0: the server's 50; at most 500.
        """
        return Pager(
            self._thread,
            self._run_handle.list_events(
                types=types, audience=audience, page_size=page_size, page_token=page_token
            ),
        )

    @overload
    def result(self, output: TypeForm[T], *, timeout: float | None = None) -> T: ...
    # Where the type that is expected lets the one above not fit, mypy goes on to the next: to Any it would be silent.
    @overload
    def result(  # type: ignore[overload-cannot-match]
        self, output: TypeForm[object], *, timeout: float | None = None
    ) -> object: ...
    @overload
    def result(self, output: Any = Any, *, timeout: float | None = None) -> Any: ...
    def result(self, output: Any = Any, *, timeout: float | None = None) -> Any:
        """The output as ``output``, once the run has ended; waits ``timeout`` seconds, ``None``: as long as it takes.

        Raises:
            ActionFailed: the run failed; ``ActionAborted``, ``ActionInterrupted`` where it ended so.
            TimeoutError: it has not ended in time; it goes on.
            ApiError: nobody answered in time for a handle that was made from an id.
            ResponseValidationError: the output does not fit.
            RequestNotFound: no such request for this caller.
        """
        return self._thread.run(self._run_handle.result(output, timeout=timeout))

    def get(self, *, timeout: float | None = None) -> RunRecord:
        """The request as stored now, with input and output.

        Raises:
            RequestNotFound: no such request for this caller.
        """
        return self._thread.run(self._run_handle.get(timeout=timeout))

    def cancel(self, reason: str = "", *, timeout: float | None = None) -> RunRecord:
        """Asks the run to stop; answers when the wish is stored. An ended request is returned unchanged.

        The run ends ``aborted`` within seconds unless it ends otherwise before: wait with ``result()`` or ``events()``.

        Raises:
            RequestNotFound: no such request for this caller.
        """
        return self._thread.run(self._run_handle.cancel(reason, timeout=timeout))


class ActionStream(EventStream):
    """The events of an action that is started by asking for the first of them; ``run`` is its handle.

    ``run.session_id`` and ``run.attached`` are known from the first event on.
    """

    def __init__(self, thread: LoopThread, action_stream: asynchronous.ActionStream) -> None:
        super().__init__(thread, action_stream)
        self._action_stream = action_stream

    @property
    def run(self) -> RunHandle:
        return RunHandle(self._thread, self._action_stream.run)
