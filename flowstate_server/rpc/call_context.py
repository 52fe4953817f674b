"""The call that is being served: who calls, how long it may take, what to log of it."""

from __future__ import annotations

import asyncio
import re
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from grpc import aio

from flowstate_server.errors import Reason
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import new_id
from flowstate_server.model.scopes import RequestKey
from flowstate_server.rpc.call_metadata import CallMetadata

NOBODY = Principal()
NOTHING_SENT = CallMetadata(())
ServicerContext = aio.ServicerContext[Any, Any]

CORRELATION_KEY = "x-correlation-id"
_CORRELATION = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(slots=True)
class Call:
    """One call, from its arrival to its line in the access log.

    ``method`` is ``Service/Method`` without the package. ``deadline`` is in the loop's time, ``None`` for a stream.
    ``follows`` is the request whose log a stream shows, ``sequence`` the cursor of the last frame that it gave to the
    transport; its servicer keeps both.
    """

    method: str
    metadata: CallMetadata = NOTHING_SENT
    peer: str = ""
    principal: Principal = NOBODY
    deadline: float | None = None
    follows: RequestKey | None = None
    sequence: int = 0

    code: str = ""
    reason: Reason | None = None
    error_id: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    messages_out: int = 0
    began: float = field(default_factory=time.perf_counter)
    _correlation_id: str = ""

    @property
    def correlation_id(self) -> str:
        """The caller's correlation id if it is fit for logs and trailers, else one that is made when first needed."""
        if not self._correlation_id:
            given = self.metadata.first(CORRELATION_KEY)
            self._correlation_id = given if _CORRELATION.fullmatch(given) else new_id("call_")
        return self._correlation_id

    @property
    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.began) * 1_000

    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; ``None`` without one."""
        if self.deadline is None:
            return None
        return max(self.deadline - asyncio.get_running_loop().time(), 0.0)


_current: ContextVar[Call] = ContextVar("flowstate_call")


def current_call() -> Call:
    """The call that this task serves. Set by the envelope; no servicer runs without it."""
    return _current.get()


def enter_call(call: Call) -> None:
    """Make ``call`` the current one of this task, which serves nothing else."""
    _current.set(call)
