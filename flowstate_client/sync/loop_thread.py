"""One background thread with one event loop, on which an asynchronous client does the work of a synchronous one."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from flowstate_client.client import FlowStateClient
from flowstate_client.errors import ClientClosedError

T = TypeVar("T")

_RUNNING_LOOP = (
    "this is the synchronous client, which would block the event loop that runs in this thread: "
    "use `async with flowstate_client.FlowStateClient.connect(...)` and `await`, or call it in another thread, "
    "`await asyncio.to_thread(...)`"
)
_CALLBACK = "a function that the client calls (progress, atomic_state) must not call the client"
_FORKED = (
    "this client was opened before the process was forked, and does not survive that: "
    "make a new one in each process, after the fork"
)


_Opened = concurrent.futures.Future[asyncio.AbstractEventLoop]


class _Serving(NamedTuple):
    loop: asyncio.AbstractEventLoop
    opened: _Opened
    stop: Callable[[], None]


_live: dict[threading.Thread, _Serving] = {}
"""The threads of this process; each takes itself out when it ends."""


class LoopThread:
    """Runs what ``client`` does, for callers that wait. The thread begins, and opens the client, with the first call.

    It ends with :meth:`close`, when nobody holds this any more, and when the interpreter exits.
    """

    def __init__(self, client: FlowStateClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._opened: _Opened = concurrent.futures.Future()
        self._pid = 0
        self._closed = False

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` gives, which is awaited on the thread. An exception here, such as Ctrl-C, cancels it.

        Raises:
            ClientClosedError: the client was closed, before or meanwhile.
            RuntimeError: an event loop runs in the calling thread, or the process was forked.
        """
        try:
            future = self._submit(work)
        except Exception:
            work.close()
            raise
        except BaseException:
            self._abandon(work)
            raise
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise ClientClosedError("the client was closed during the call") from None
        except BaseException:
            future.cancel()
            raise
        finally:
            del future  # it holds what was raised, and that this frame

    def open(self) -> None:
        """Begins now, also where an event loop runs: ``asyncio.to_thread(client.flows.call, ...)`` gets there first.

        Raises:
            ClientClosedError: the client was closed.
            RuntimeError: the process was forked.
        """
        self._check_process()
        with self._lock:
            self._begin()

    def close(self) -> None:
        """Ends all calls and streams, and the thread. Harmless if done before, and in a forked process."""
        if self._pid not in (0, os.getpid()):
            return
        with self._lock:
            self._closed = True
            _stop(self._thread, self._opened)
        if self._thread is not None:
            self._thread.join()

    def __del__(self) -> None:
        # Garbage may be collected in any thread, under any lock: to wait here for the thread might be for ever.
        if self._pid == os.getpid():
            _stop(self._thread, self._opened)

    def _submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        self.check_caller()
        with self._lock:  # what is handed over ahead of a stop still begins, and is told
            return asyncio.run_coroutine_threadsafe(work, self._begin())

    def _abandon(self, work: Coroutine[Any, Any, T]) -> None:
        """For Ctrl-C while it was handed over: it may have begun, and then ends in the thread in which it runs."""
        serving = None if self._thread is None else _live.get(self._thread)
        if serving is None:
            work.close()
            return
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            serving.loop.call_soon_threadsafe(_cancel, work)

    def check_caller(self) -> None:
        """Raises ``RuntimeError``, if the calling thread cannot wait."""
        self._check_process()
        if threading.current_thread() is self._thread:
            raise RuntimeError(_CALLBACK)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise RuntimeError(_RUNNING_LOOP)

    def _check_process(self) -> None:
        if self._pid not in (0, os.getpid()):
            raise RuntimeError(_FORKED)

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._closed:
            raise ClientClosedError("the client is closed")
        try:
            if self._thread is None:
                self._opened, self._pid = concurrent.futures.Future(), os.getpid()
                self._thread = threading.Thread(
                    target=_serve, args=(self._client, self._opened), name="flowstate-client", daemon=True
                )
                self._thread.start()
            loop = self._opened.result()  # who is interrupted here leaves the thread to the next call
        except Exception:
            self._thread = None
            raise
        if loop.is_closed():
            raise ClientClosedError("the client was closed, as the interpreter exits")
        return loop


def _serve(client: FlowStateClient, opened: _Opened) -> None:
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(_told)
    try:
        # Not asyncio.run: it starts a thread to end those of the loop, and at exit there may be no new ones.
        task = loop.create_task(_keep_open(client, opened))
        while not task.done():
            # A function of the caller's that exits: its call raises that, where somebody waits for it.
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                loop.run_until_complete(task)
        task.result()
    except Exception as error:
        if opened.cancelled():
            return
        if opened.done():
            raise
        opened.set_exception(error)
    finally:
        _live.pop(threading.current_thread(), None)
        loop.close()


async def _keep_open(client: FlowStateClient, opened: _Opened) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    async with client:
        _live[threading.current_thread()] = _Serving(loop, opened, stopped.set)
        if opened.set_running_or_notify_cancel():
            opened.set_result(loop)
            await stopped.wait()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_asyncgens()


def _told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """All but this: gRPC hears on any loop how a call ended, also one that another client has cancelled, and complains
    here that the loop of that one is closed."""
    of_grpc = "PollerCompletionQueue" in repr(context.get("handle"))
    if not (of_grpc and isinstance(context.get("exception"), RuntimeError)):
        loop.default_exception_handler(context)


def _cancel(work: Coroutine[Any, Any, object]) -> None:
    for task in asyncio.all_tasks():
        if task.get_coro() is work:
            task.cancel()
            return
    work.close()


def _stop(thread: threading.Thread | None, opened: _Opened) -> None:
    if opened.cancel():  # while it opens: it ends when it has
        return
    serving = None if thread is None else _live.get(thread)
    if serving is not None:
        with contextlib.suppress(RuntimeError):  # it has ended meanwhile
            serving.loop.call_soon_threadsafe(serving.stop)


@atexit.register
def _stop_all() -> None:
    for thread, serving in list(_live.items()):
        _stop(thread, serving.opened)
        thread.join()


os.register_at_fork(after_in_child=_live.clear)
