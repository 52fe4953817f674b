"""The call that is being served: who calls, how long it may take, what to log of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from flowstate_server.errors import Reason
from flowstate_server.log_context import Inquiry, Subject, enter_subject
from flowstate_server.model.identity import Principal
from flowstate_server.model.ids import random_id
from flowstate_server.model.scopes import RequestKey
from flowstate_server.rpc.call_metadata import CallMetadata
from flowstate_server.rpc.named_ids import named_ids

NOBODY = Principal()
NOTHING_SENT = CallMetadata(())
ServicerContext = aio.ServicerContext[Any, Any]

CORRELATION_KEY = "x-correlation-id"
_CORRELATION = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass(slots=True)
class Call(Inquiry):
    """One call, from its arrival to its line in the access log.

    ``method`` is ``Service/Method`` without the package. ``deadline`` is in the loop's time, ``None`` for a stream.
    ``follows`` is the request whose log a stream shows, ``sequence`` the cursor of the last frame that it gave to the
    transport; its servicer keeps both. ``message`` is what came in.
    """

    method: str
    metadata: CallMetadata = NOTHING_SENT
    peer: str = ""
    principal: Principal = NOBODY
    deadline: float | None = None
    follows: RequestKey | None = None
    sequence: int = 0
    message: Message | None = None
    subject: Subject | None = None

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
            self._correlation_id = given if _CORRELATION.fullmatch(given) else random_id("call_")
        return self._correlation_id

    def log_ids(self) -> Mapping[str, str]:
        """Who calls, and what the call is about: as the message says, until it was found."""
        caller = self.principal
        ids = {"user_id": caller.user, "org_id": caller.org, "tenant": caller.tenant}
        if self.message is not None:
            ids |= named_ids(self.message)
        if self.subject is not None:
            ids |= {name: value for name, value in self.subject.log_ids().items() if value}
        ids["correlation_id"] = self.correlation_id
        return ids

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
    enter_subject(call)
