"""How many calls are served at once, how long each may take, and how they end when the server goes down.

gRPC's own limit counts streams and unary calls together and answers without a reason, so this counts by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from flowstate_server.errors import (
    CredentialsInvalidError,
    DeadlineBudgetExhaustedError,
    RateLimitedError,
    ServerDrainingError,
    ServiceError,
    TooManyStreamsError,
)
from flowstate_server.model.identity import Principal
from flowstate_server.rpc.call_context import Call
from flowstate_server.rpc.call_metadata import CallMetadata
from flowstate_server.rpc.methods import is_probe, starts_run
from flowstate_server.settings import ServerSettings

UNARY = ("unary",)

Places = Mapping[tuple[str, ...], int]
"""What a call takes a place in, and how many places there are."""

# Deadlines are kept to this; a caller whose own deadline comes first sees no difference.
WATCH_SECONDS = 0.05
_NO_PLACES: Places = {}


class Admission:
    """Counts unary calls, and streams by process, tenant and principal. Health counts for neither."""

    def __init__(self, limits: ServerSettings) -> None:
        self._limits = limits
        self._unary_places: Places = {UNARY: limits.max_unary_calls}
        self.draining = False
        self._counts: dict[tuple[str, ...], int] = {}
        self._unary: set[_Served] = set()
        self._streams: set[_Served] = set()
        self._stream_ended = asyncio.Event()
        self._watching = False

    def unary(self, call: Call) -> AbstractContextManager[None]:
        """Serve a unary call until its deadline.

        Raises:
            RateLimitedError, ServerDrainingError: it is not admitted, or the server can wait no longer.
            DeadlineBudgetExhaustedError: its time ran out.
        """
        if self.draining and starts_run(call.method):
            raise ServerDrainingError()
        places = _NO_PLACES if is_probe(call.method) else self._unary_places
        self._watch()
        return _Served(self, places, self._unary, call, call.deadline)

    def stream(self, call: Call) -> AbstractContextManager[None]:
        """Serve a stream until the server goes down. Raises as :meth:`unary`, or ``TooManyStreamsError``."""
        if self.draining:
            raise ServerDrainingError()
        tenant = call.principal.tenant
        places: Places = {
            ("streams",): self._limits.max_streams,
            ("tenant", tenant): self._limits.max_streams_per_tenant,
            ("principal", tenant, call.principal.key): self._limits.max_streams_per_principal,
        }
        return _Served(self, places, self._streams, call)

    def uncounted(self, call: Call) -> AbstractContextManager[None]:
        """Serve a stream that takes no one's place, a health watch."""
        if self.draining:
            raise ServerDrainingError()
        return _Served(self, _NO_PLACES, self._streams, call)

    async def streams_end(self) -> None:
        """Wait until no stream is open."""
        while self._streams:
            self._stream_ended.clear()
            await self._stream_ended.wait()

    def drain(self, spread: float, stays: Callable[[Call], bool] = lambda call: False) -> None:
        """Refuse new runs and streams, and end the open streams but those that stay, each at a moment of its own within
        ``spread`` seconds, so that their readers do not all arrive elsewhere at once."""
        self.draining = True
        loop = asyncio.get_running_loop()
        for stream in self._streams:
            if not stays(stream.call):
                loop.call_later(random.uniform(0, spread), stream.expire, ServerDrainingError())

    def expire(self) -> None:
        """End the unary calls that are still open; callers repeat them elsewhere."""
        self.draining = True
        for served in self._unary:
            served.expire(ServerDrainingError())

    def end_streams_of(self, gone: Callable[[CallMetadata, Principal], bool]) -> None:
        """End the streams of callers whose credentials are not valid any more."""
        for stream in self._streams:
            if not is_probe(stream.call.method) and gone(stream.call.metadata, stream.call.principal):
                stream.expire(CredentialsInvalidError())

    def take(self, places: Places) -> None:
        counts = self._counts
        for place, limit in places.items():
            if counts.get(place, 0) >= limit:
                raise RateLimitedError(limit) if place == UNARY else TooManyStreamsError(limit)
        for place in places:
            counts[place] = counts.get(place, 0) + 1

    def give_back(self, places: Places) -> None:
        for place in places:
            self._counts[place] -= 1
            if not self._counts[place]:
                del self._counts[place]
        self._stream_ended.set()

    def _watch(self) -> None:
        """Look for calls whose deadline is over, as long as any is open: a timer for each would cost more than most
        calls do."""
        if not self._watching:
            self._watching = True
            asyncio.get_running_loop().call_later(WATCH_SECONDS, self._look)

    def _look(self) -> None:
        self._watching = False
        now = asyncio.get_running_loop().time()
        for served in self._unary:
            served.expire_after(now)
        if self._unary:
            self._watch()


class _Served:
    """One call from its admission to its end. Ends like a block of :func:`asyncio.timeout`, by cancelling its task."""

    __slots__ = (
        "_admission",
        "_cancelling",
        "_deadline",
        "_open_calls",
        "_places",
        "_refusal",
        "_task",
        "call",
    )

    def __init__(
        self,
        admission: Admission,
        places: Places,
        open_calls: set[_Served],
        call: Call,
        deadline: float | None = None,
    ) -> None:
        self.call = call
        self._admission = admission
        self._places = places
        self._open_calls = open_calls
        self._deadline = deadline
        self._refusal: ServiceError | None = None

    def expire(self, refusal: ServiceError) -> None:
        """End the call with ``refusal``."""
        if self._refusal is None and self in self._open_calls:
            self._refusal = refusal
            self._task.cancel()

    def expire_after(self, now: float) -> None:
        if self._deadline is not None and self._deadline <= now:
            self.expire(DeadlineBudgetExhaustedError())

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is served by a task")
        self._task = task
        self._cancelling = task.cancelling()
        self._admission.take(self._places)
        self._open_calls.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open_calls.discard(self)
        self._admission.give_back(self._places)
        if (
            self._refusal is not None
            and self._task.uncancel() <= self._cancelling
            and isinstance(error, asyncio.CancelledError)
        ):
            raise self._refusal from None
