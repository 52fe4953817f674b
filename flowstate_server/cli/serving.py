"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys

from flowstate_server.app import FlowState
from flowstate_server.cli.announcement import Announcement, is_to_be_created
from flowstate_server.cli.problem import MISUSED, give_up
from flowstate_server.cli.reloading import Hangups
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.settings import Settings

# Whoever asks to stop twice wants the end now; this is for closing the store, which takes milliseconds unless it
# hangs.
HARD_STOP_SECONDS = 3.0
HARD_STOPPED = 1
# For tasks that end when they are cancelled; those that do not would keep the process for good.
LAST_MOMENT_SECONDS = 1.0
# CPython's default (700, from 3.13 on 2,000) is less than the calls under way hold.
YOUNG_OBJECTS = 10_000

_logger = logging.getLogger(__name__)


async def serve_until_stopped(name: str, app: FlowState, settings: Settings) -> int:
    """Serve ``app`` until a signal, then drain; the exit code."""
    signals = _signals()
    hangups = Hangups(lambda: signals.put_nowait(signal.SIGHUP))
    created = is_to_be_created(settings)
    server, port = await _start(app, settings)
    hangups.reload_by(server.reload)
    announcement = Announcement(name, app, settings, created=created)
    _settle_garbage_collector()
    announcement.listening(port)
    await signals.get()
    announcement.stopping()
    stopping = asyncio.create_task(server.stop(settings.drain_delay, settings.drain_grace))
    again = asyncio.create_task(signals.get())
    await asyncio.wait((stopping, again), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        await _stop_hard(server, stopping)
    again.cancel()
    await stopping
    announcement.stopped()
    await _leave_abandoned_blocks(again)
    return 0


async def _start(app: FlowState, settings: Settings) -> tuple[FlowStateServer, int]:
    """A server that listens, and its port. What can't be opened or listened on ends the command."""
    try:
        store = app.chosen_store(settings)
        engine = app.engine(store, settings)
        server = FlowStateServer(engine, settings)
    except ValueError as error:
        give_up(str(error), MISUSED)
    try:
        await engine.open()
    except Exception as error:
        _logger.debug("the store can't be opened", exc_info=error)
        give_up(str(error), MISUSED)
    try:
        return server, await server.start()
    except OSError as error:
        await server.stop(0.0, 0.0)
        give_up(str(error), MISUSED)


def _settle_garbage_collector() -> None:
    """Call this once everything is loaded. What was loaded stays for good, so that no collection visits it again; and a
    collection of young objects waits for more than the calls under way hold, for reference counting frees almost
    all of what a call makes. Saves a tenth of the time of a call."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


def _signals() -> asyncio.Queue[int]:
    """Those that ask to stop, as they come."""
    signals: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    return signals


async def _leave_abandoned_blocks(ended: asyncio.Task[int]) -> None:
    """End the process for certain: leaving the loop waits for every task, and some blocks ignore cancellation."""
    left = asyncio.all_tasks() - {asyncio.current_task(), ended}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=LAST_MOMENT_SECONDS))[1]:
        _logger.warning("stopped although a block goes on; its request was ended before")
        sys.stdout.flush()
        os._exit(0)


async def _stop_hard(server: FlowStateServer, stopping: asyncio.Task[None]) -> None:
    """End everything now, and the process for certain: what a run does that ends by no means is up to its author."""
    stopping.cancel()
    try:
        await asyncio.wait_for(server.stop(0.0, 0.0), HARD_STOP_SECONDS)
    except Exception:
        _logger.warning("stopped before every run had ended; other servers will end them as interrupted")
    finally:
        sys.stdout.flush()
        os._exit(HARD_STOPPED)
