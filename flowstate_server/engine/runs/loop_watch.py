"""Watches the event loop from a thread: tells for how long it has not turned, and the log who blocks it."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from types import FrameType

from flowstate_server.log_context import about, warn_with_stack
from flowstate_server.model.clock import Seconds
from flowstate_server.programs.author_code import Work, stack_of_work, work_of

_logger = logging.getLogger(__name__)

# Frames of the stack that are logged: those of what blocks, without those of how it was reached.
FRAMES = 8
NOBODY = "no code of a flow"


class LoopWatch:
    """What blocks the loop for longer than ``limit`` is logged with its request and block, once each time."""

    def __init__(self, limit: Seconds) -> None:
        self._limit = limit
        self._pause = limit / 2
        self._turned = time.monotonic()
        self._beat: asyncio.TimerHandle | None = None
        self._closed = threading.Event()

    def open(self) -> None:
        """Watch the running loop, which runs on this thread."""
        self._turn(asyncio.get_running_loop())
        threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="flowstate-loop-watch", daemon=True
        ).start()

    def close(self) -> None:
        self._closed.set()
        if self._beat is not None:
            self._beat.cancel()

    @property
    def silence(self) -> Seconds:
        """For how long the loop has not turned. Any thread may ask."""
        return Seconds(max(time.monotonic() - self._turned - self._pause, 0.0))

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turned = time.monotonic()
        self._beat = loop.call_later(self._pause, self._turn, loop)

    def _watch(self, thread: int) -> None:
        blocked, work = 0.0, None  # since when, by whom
        waited = time.monotonic()
        while not self._closed.wait(self._pause):
            before, waited = waited, time.monotonic()
            if blocked and self._turned > blocked:
                with about(work and work.subject):
                    _logger.info(
                        "the event loop turns again after %.1f s: %s", self._turned - blocked, work or NOBODY
                    )
                blocked = 0.0
            # Who was late itself was stopped with the loop, or kept off the machine.
            awake = waited - before < self._pause + self._limit / 2
            if not blocked and awake and self.silence > self._limit:
                blocked = self._turned
                work = self._tell(thread, self.silence)

    def _tell(self, thread: int, seconds: float) -> Work | None:
        frame = sys._current_frames().get(thread)
        work = work_of(frame)
        stack = "".join(_formatted(frame)) if frame is not None else ""
        text = "the event loop has been blocked for %.1f s so far, and every run with it, by %s"
        with about(work and work.subject):
            warn_with_stack(_logger, text, seconds, work or NOBODY, stack=stack)
        return work


def _formatted(frame: FrameType) -> list[str]:
    """Without our frames around those of a flow's author."""
    shown = stack_of_work(frame)
    if not shown:
        return traceback.format_stack(frame, FRAMES)
    return traceback.StackSummary.extract((one, one.f_lineno) for one in shown[-FRAMES:]).format()
