"""The end of the process, for certain: what is up to authors (a blocked event loop, a thread that never ends) keeps no
server from it."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from flowstate_server.settings import Settings

STOPPING = (signal.SIGTERM, signal.SIGINT)
HARD_STOPPED = 1
# Of the two seconds in which a second signal ends the process; the rest is for the machine.
HARD_STOP_SECONDS = 1.7
# Beyond the graces, for what takes milliseconds unless it hangs: to hand in the lease and to close the store.
CLOSING_SECONDS = 10.0
# For the one line that says why the process was ended.
LAST_WORDS_SECONDS = 0.1
# For tasks and threads that end when they are told to; those that do not would keep the process for good.
LAST_MOMENT_SECONDS = 1.0


def stop_limit(settings: Settings) -> float:
    """Seconds within which a server has stopped after the first signal, or is ended."""
    return settings.drain_delay + settings.drain_grace + 2 * settings.cancel_grace + CLOSING_SECONDS


class _Limit(NamedTuple):
    time: float
    code: int
    why: str


class ProcessEnd:
    """Ends the process when it is not gone in time, from a thread: it needs neither the event loop nor the main thread.

    :meth:`within` may be called from a handler of signals.
    """

    def __init__(self) -> None:
        # The one queue that a handler of signals may put into while it interrupts a put or a get.
        self._limits: queue.SimpleQueue[_Limit | None] = queue.SimpleQueue()
        threading.Thread(target=self._watch, name="flowstate-process-end", daemon=True).start()

    def within(self, seconds: float, code: int, why: str) -> None:
        """End the process with ``code`` in ``seconds`` at the latest; then ``why`` is said on stderr."""
        self._limits.put(_Limit(time.monotonic() + seconds, code, why))

    def call_off(self) -> None:
        """The process may go on, whatever limits were set."""
        self._limits.put(None)

    def _watch(self) -> None:
        first = limit = self._limits.get()
        while first is not None and limit is not None:
            try:
                limit = self._limits.get(timeout=max(first.time - time.monotonic(), 0.0))
            except queue.Empty:
                _tell_if_heard(first.why)
                os._exit(first.code)
            if limit is not None:
                first = min(first, limit)


def _tell_if_heard(why: str) -> None:
    """On stderr, unless it is gone, or has no room: a pipe that is not read, a terminal that was stopped."""

    def tell() -> None:
        # Not by way of logging or print: whoever blocks may hold their locks.
        with suppress(OSError):
            os.write(2, f"flowstate: {why}\n".encode())

    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    telling.join(LAST_WORDS_SECONDS)


class StopSignals:
    """SIGTERM and SIGINT: ``asked`` to stop by the first, ``urged`` by the second, which ends the process within two
    seconds whatever runs. The third ends it there and then.

    A worker is ``patient``: it may be told by its parent and by who signals to all processes of a service, so of its
    signals those after the first change nothing, and :meth:`urge` is the second.
    """

    def __init__(self, end: ProcessEnd, limit: float, patient: bool) -> None:
        self.asked = asyncio.Event()
        self.urged = asyncio.Event()
        self._end = end
        self._limit = limit
        self._patient = patient
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._wakeup = SignalWakeup(self._came)

    @classmethod
    @contextmanager
    def listening(cls, end: ProcessEnd, limit: float, *, patient: bool = False) -> Iterator[StopSignals]:
        """``limit``: seconds within which the first signal has stopped the process."""
        signals = cls(end, limit, patient)
        # Not the loop's own handlers of signals: they wait for it to be free.
        before = {number: signal.signal(number, signals._handle) for number in STOPPING}
        try:
            with signals._wakeup:
                yield signals
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if not self._wakeup.listens:
            self._came()

    def _came(self) -> None:
        self._count += 1
        if self._count == 1:
            self._end.within(self._limit, HARD_STOPPED, "stopped although the server had not come to its end")
            self._tell(self.asked)
        elif self._patient:
            return
        elif self._count == 2:
            self.urge()
        else:
            os._exit(HARD_STOPPED)

    def urge(self) -> None:
        """End the process within two seconds. May be called from any thread."""
        self._end.within(HARD_STOP_SECONDS, HARD_STOPPED, "stopped before every run had ended")
        self._tell(self.urged)

    def _tell(self, event: asyncio.Event) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(event.set)


class SignalWakeup:
    """Calls ``came`` for each of the STOPPING signals from a thread: a handler waits for the main thread to come back
    from C, which may take as long as a look-up of a name or a query does.

    Python writes the numbers of signals to one socket, the last one that somebody set. Those of the loop, which set it
    before, are passed on; who sets it later has it, and ``listens`` says so.
    """

    def __init__(self, came: Callable[[], None]) -> None:
        self._came = came

    def __enter__(self) -> None:
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        # A number of our own, for the loop may close its one, and somebody else be given it.
        self._loop = os.dup(self._before) if self._before != -1 else None
        threading.Thread(target=self._listen, name="flowstate-signals", daemon=True).start()

    def __exit__(self, *error: object) -> None:
        if self.listens:
            signal.set_wakeup_fd(self._before)
        self._write.close()

    @property
    def listens(self) -> bool:
        """Whether signals come here. For the main thread alone."""
        mine = self._write.fileno()
        current = signal.set_wakeup_fd(mine, warn_on_full_buffer=False)
        if current != mine:
            signal.set_wakeup_fd(current, warn_on_full_buffer=False)
        return current == mine

    def _listen(self) -> None:
        with self._read:
            while numbers := self._read.recv(64):
                for number in numbers:
                    if number in STOPPING:
                        self._came()
                if self._loop is not None:
                    with suppress(OSError):
                        os.write(self._loop, numbers)
        if self._loop is not None:
            os.close(self._loop)


def leave(code: object) -> None:
    """End the process soon with the exit ``code``, also if threads that somebody left behind go on for ever."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        number = code if isinstance(code, int) else int(code is not None)
        ProcessEnd().within(LAST_MOMENT_SECONDS, number, "stopped although a thread goes on")
