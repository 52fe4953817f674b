"""Ids that name calls in the server's log, and what is told of each call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from grpc import StatusCode

from flowstate_client.errors import ApiError
from flowstate_client.ids import new_correlation_id

# What the server takes into its log.
_FIT = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

_given: ContextVar[str] = ContextVar("flowstate_correlation_id", default="")


@contextmanager
def correlation_id(id: str | None = None) -> Iterator[str]:
    """All calls within carry this correlation id, under which the server logs them; a new one if none is given::

        with correlation_id() as id:
            await client.flows.call("chat", "say", {"message": "hi"})
        logger.info("answered", extra={"correlation_id": id})

    Raises:
        ValueError: it is not 1 to 128 letters, digits or of ``. _ : / + = @ -``, which the server would not log.
    """
    if id is None:
        id = new_correlation_id()
    if not isinstance(id, str) or not _FIT.fullmatch(id):
        raise ValueError("a correlation id is 1 to 128 letters, digits or of . _ : / + = @ -")
    token = _given.set(id)
    try:
        yield id
    finally:
        _given.reset(token)


def present_correlation_id() -> str:
    """The one that was given for here, else a new one."""
    return _given.get() or new_correlation_id()


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """A call that is over, told to ``on_call`` of ``FlowStateClient.connect``.

    One that was repeated is told each time, with the same correlation id; a stream each time that its call on the
    server has ended, by ``CANCELLED`` where it was closed here.

    Attributes:
        method: ``Service/Method``.
        correlation_id: Names the call in the server's log.
        code: How it ended.
        seconds: How long it took.
        error: What it ended with, unless that is ``OK`` or this side has cancelled it.
    """

    method: str
    correlation_id: str
    code: StatusCode
    seconds: float
    error: ApiError | None = None


OnCall = Callable[[FinishedCall], object]
"""Told of each call when it is over. It must be quick; what it raises goes to the log."""
