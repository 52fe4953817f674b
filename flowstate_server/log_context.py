"""What a log line is about: the call or the run in which it was written.

Whoever serves a call or executes a run enters it once. From then on every line has its ids, whoever writes it: the
server, the handler, tasks and sync functions that they start, any library. Nothing is computed until one is written.

``flowstate serve`` sees to it. Who serves an application from a program of their own gives a handler :class:`LogIds`::

    handler = logging.StreamHandler()
    handler.addFilter(LogIds())
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s %(request_id)s %(session_id)s"))

Threads that somebody starts with ``threading`` or an executor know of no run, unless they are given a copy of the
context (``contextvars.copy_context().run``), as ``asyncio.to_thread`` does.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

IDS = (
    "request_id",
    "session_id",
    "user_id",
    "org_id",
    "tenant",
    "flow_kind",
    "action",
    "correlation_id",
)
"""The attributes that :class:`LogIds` gives to records. ``correlation_id`` is that of the call, or of the one that made
the run."""


class Subject(Protocol):
    """A call, a request, a session: something that lines can be about."""

    def log_ids(self) -> Mapping[str, str]:
        """Its ids by the names of :data:`IDS`, as far as they are known."""
        ...


class Inquiry:
    """Work that finds out what it is about, such as a call that names a request, whose session is known once it was
    read. A :class:`Subject` as well; not of ``abc``, whose instances take long to tell and each call is asked."""

    __slots__ = ("subject",)

    subject: Subject | None

    def log_ids(self) -> Mapping[str, str]:
        raise NotImplementedError


_subject: ContextVar[Subject | None] = ContextVar("flowstate_log_subject", default=None)

current_subject = _subject.get
"""What lines are about that are written here; None where it is nothing of these."""


def enter_subject(subject: Subject) -> None:
    """Lines of this task, and of what it starts, are about ``subject`` from now on."""
    _subject.set(subject)


@contextmanager
def about(subject: Subject | None) -> Iterator[None]:
    """Lines within the ``with`` are about ``subject``."""
    token = _subject.set(subject)
    try:
        yield
    finally:
        _subject.reset(token)


def found(subject: Subject) -> None:
    """The inquiry in whose context this is called is about ``subject``; no effect in a run, which knows."""
    inquiry = _subject.get()
    if isinstance(inquiry, Inquiry):
        inquiry.subject = subject


def warn_with_stack(logger: logging.Logger, text: str, *values: object, stack: str) -> None:
    """A warning with the stack of somebody else, where logging itself would only give the caller's."""
    if logger.isEnabledFor(logging.WARNING):
        logger.handle(
            logger.makeRecord(logger.name, logging.WARNING, __file__, 0, text, values, None, sinfo=stack)
        )


class LogIds(logging.Filter):
    """For a handler: gives each record the attributes of :data:`IDS`, empty where unknown, and lets it pass.

    They win over fields of the same name that a line brings by ``extra=``, so that nobody's line looks like another's.
    With a ``QueueHandler`` it belongs on that one, for it has to run where the line is written.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        subject = _subject.get()
        known = {} if subject is None else subject.log_ids()
        for name in IDS:
            setattr(record, name, known[name] if name in known else getattr(record, name, ""))
        return True
