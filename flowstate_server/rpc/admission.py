"""How many calls are served at once, how long each may take, and how they end when the server goes down.

gRPC's own limit counts streams and unary calls together and answers without a reason, so this counts by itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from flowstate_server.errors import (
    DeadlineBudgetExhaustedError,
    RateLimitedError,
    ServerDrainingError,
    TooManyStreamsError,
)
from flowstate_server.rpc.call_context import Call
from flowstate_server.rpc.planes import WITHOUT_IDENTITY

UNARY = ("unary",)
STARTS_A_RUN = frozenset(("FlowService/DispatchAction", "FlowService/CallAction", "FlowService/StreamAction"))

Places = Mapping[tuple[str, ...], int]
"""What a call takes a place in, and how many places there are."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Most calls open at once: unary ones, and streams by process, tenant and principal. Health counts for neither."""

    unary: int = 2_000
    streams: int = 10_000
    streams_per_tenant: int = 5_000
    streams_per_principal: int = 2_000


class Admission:
    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self.draining = False
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._unary: set[asyncio.Timeout] = set()
        self._streams: set[asyncio.Timeout] = set()
        self._stream_ended = asyncio.Event()

    @asynccontextmanager
    async def unary(self, call: Call) -> AsyncIterator[None]:
        """Serve a unary call until its deadline.

        Raises:
            RateLimitedError, ServerDrainingError: it is not admitted, or the server can wait no longer.
            DeadlineBudgetExhaustedError: its time ran out.
        """
        if self.draining and call.method in STARTS_A_RUN:
            raise ServerDrainingError()
        places: dict[tuple[str, ...], int] = (
            {} if call.method in WITHOUT_IDENTITY else {UNARY: self.limits.unary}
        )
        async with self._counted(places), self._bounded(self._unary, call.remaining()):
            yield

    @asynccontextmanager
    async def stream(self, call: Call) -> AsyncIterator[None]:
        """Serve a stream until the server goes down. Raises as :meth:`unary`, or ``TooManyStreamsError``."""
        if self.draining:
            raise ServerDrainingError()
        tenant = call.principal.tenant
        places: Places = {
            ("streams",): self.limits.streams,
            ("tenant", tenant): self.limits.streams_per_tenant,
            ("principal", tenant, call.principal.name): self.limits.streams_per_principal,
        }
        async with self._counted(places), self._bounded(self._streams, None):
            yield

    @asynccontextmanager
    async def uncounted(self) -> AsyncIterator[None]:
        """Serve a stream that takes no one's place, a health watch."""
        if self.draining:
            raise ServerDrainingError()
        async with self._bounded(self._streams, None):
            yield

    async def streams_end(self) -> None:
        """Wait until no stream is open."""
        while self._streams:
            self._stream_ended.clear()
            await self._stream_ended.wait()

    def drain(self, spread: float) -> None:
        """Refuse new runs and streams, and end the open streams, each at a moment of its own within ``spread``
        seconds, so that their readers do not all arrive elsewhere at once."""
        self.draining = True
        now = asyncio.get_running_loop().time()
        for timeout in self._streams:
            if not timeout.expired():
                timeout.reschedule(now + random.uniform(0, spread))

    def expire(self) -> None:
        """End the unary calls that are still open; callers repeat them elsewhere."""
        self.draining = True
        for timeout in self._unary:
            if not timeout.expired():
                timeout.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def _counted(self, places: Places) -> AsyncIterator[None]:
        for place, limit in places.items():
            if self._counts[place] >= limit:
                raise RateLimitedError(limit) if place == UNARY else TooManyStreamsError(limit)
        self._counts.update(places.keys())
        try:
            yield
        finally:
            for place in places:
                self._counts[place] -= 1
                if not self._counts[place]:
                    del self._counts[place]

    @asynccontextmanager
    async def _bounded(self, open_calls: set[asyncio.Timeout], seconds: float | None) -> AsyncIterator[None]:
        timeout = asyncio.timeout(seconds)
        try:
            async with timeout:
                open_calls.add(timeout)
                try:
                    yield
                finally:
                    open_calls.discard(timeout)
                    self._stream_ended.set()
        except TimeoutError:
            if not timeout.expired():
                raise
            raise ServerDrainingError() if self.draining else DeadlineBudgetExhaustedError() from None
