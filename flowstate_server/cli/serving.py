"""A server from its start to its end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from flowstate_client.config import client_version
from flowstate_server.app import (
    FlowState,
    LifespanError,
    StoreUnavailableError,
    StoreUnreachableError,
)
from flowstate_server.cli.announcement import Announcement, Served, missing_of_store
from flowstate_server.cli.freed_memory import keep_freed_memory
from flowstate_server.cli.misfit_lines import misfit_lines
from flowstate_server.cli.own_terminal import drop_unwritten
from flowstate_server.cli.problem import (
    FAILED,
    MISUSED,
    UNREACHABLE,
    give_up,
    give_up_listening,
    place_of,
)
from flowstate_server.cli.process_end import (
    HARD_STOPPED,
    LAST_MOMENT_SECONDS,
    ProcessEnd,
    StopSignals,
    stop_limit,
)
from flowstate_server.cli.reloading import Hangups
from flowstate_server.cli.worker_link import Order, WorkerLink
from flowstate_server.deployment import Looked, glance
from flowstate_server.rpc.server import FlowStateServer
from flowstate_server.settings import Settings
from flowstate_server.store_urls import MEMORY, redacted

# CPython's default (700, from 3.13 on 2,000) is less than the calls under way hold.
YOUNG_OBJECTS = 10_000

_logger = logging.getLogger(__name__)


class _Started(NamedTuple):
    server: FlowStateServer
    port: int
    glance: Callable[[], Awaitable[Looked | None]]


def serve_to_the_end(name: str, app: FlowState, settings: Settings, link: WorkerLink | None = None) -> int:
    """Serve ``app`` until a signal, then drain; the exit code. Tasks of flows that do not end go with the process.
    ``link`` leads to the process that started this one as one of several."""
    end = ProcessEnd()
    code = FAILED
    broken = False
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            try:
                code = _run(runner.get_loop(), _serve_until_stopped(name, app, settings, end, link))
            finally:
                end.within(
                    LAST_MOMENT_SECONDS,
                    code,
                    "stopped although a block goes on; its request was ended before",
                )
    except asyncio.CancelledError:
        broken = True  # by a flow: nothing was closed, and threads of the store would keep the process
        raise
    finally:
        drop_unwritten()
        if not broken:
            end.call_off()
    return code


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, int]) -> int:
    """Run to the end of ``serving``. What a callback of a flow's author lets out of the loop (``SystemExit``,
    ``KeyboardInterrupt``) ends nothing, nor does stopping the loop: it goes on where it was."""
    task = loop.create_task(serving)
    while True:
        try:
            return loop.run_until_complete(task)
        except RuntimeError:
            if task.done():
                raise
            _logger.error("a flow has stopped the event loop, which goes on")
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done():
                raise
            ignored = "a callback or task of a flow raised %s, which is ignored"
            kind = "SystemExit" if isinstance(error, SystemExit) else "KeyboardInterrupt"
            try:
                _logger.error(ignored, kind, exc_info=error)
            except Exception:  # a class of an author's, which can't be printed
                _logger.error(ignored, kind)


async def _serve_until_stopped(
    name: str, app: FlowState, settings: Settings, end: ProcessEnd, link: WorkerLink | None
) -> int:
    with StopSignals.listening(end, stop_limit(settings), patient=link is not None) as signals:
        announcement = link or Announcement(settings)
        if link is not None:
            link.urge_by(signals.urge)
        hangups = Hangups(lambda: signal.raise_signal(signal.SIGTERM))
        created = missing_of_store(settings)
        started = await _start_unless_stopped(app, settings, signals, link)
        if started is None:
            return 0
        server = started.server
        try:
            hangups.reload_by(server.reload)
            _settle_garbage_collector()
            keep_freed_memory()
            announcement.listening(_served(name, app, settings, created, started.port))
            warned = asyncio.create_task(_warn_of_stored(started.glance, link))
            await signals.asked.wait()
            warned.cancel()
            announcement.stopping()
        except Exception:  # threads of a store that stays open would keep the process
            await server.stop(0.0, 0.0)
            raise
        await _stop(server, settings, signals, link)
        announcement.stopped()
    return 0


def _served(name: str, app: FlowState, settings: Settings, created: Sequence[Path], port: int) -> Served:
    address = settings.listen
    if not address.startswith("unix"):
        address = f"{address.rpartition(':')[0]}:{port}"
    store = _store_name(app, settings)
    return Served(
        address=address,
        app=name,
        flows={flow.described.kind: sorted(flow.described.actions) for flow in app.catalogue},
        store=store,
        created=[str(path) for path in created],
        persistent=store not in MEMORY,
        version=client_version(),
    )


def _store_name(app: FlowState, settings: Settings) -> str:
    if settings.store is not None:
        return redacted(settings.store)
    kind = type(app.store_of(settings.profile)).__name__
    return MEMORY[0] if kind == "MemoryStore" else kind


async def _stop(
    server: FlowStateServer, settings: Settings, signals: StopSignals, link: WorkerLink | None
) -> None:
    """Drain, and close the store; at a second signal end the process without patience."""
    stop = server.stop(
        settings.drain_delay,
        settings.drain_grace,
        replaced=link is not None and link.order != Order.STOP,
        keep_tails=link is not None and link.order != Order.MAKE_ROOM,
    )
    stopping = asyncio.create_task(stop)
    urged = asyncio.create_task(signals.urged.wait())
    await asyncio.wait((stopping, urged), return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        await _stop_hard(server, stopping)
    urged.cancel()
    await stopping


async def _start_unless_stopped(
    app: FlowState, settings: Settings, signals: StopSignals, link: WorkerLink | None
) -> _Started | None:
    """``None`` if a signal came first: the application's lifespan may take long to enter."""
    starting = asyncio.create_task(_start(app, settings, link))
    stopped = asyncio.create_task(signals.asked.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if starting.done():
        return await starting
    starting.cancel()
    await asyncio.wait((starting,), timeout=LAST_MOMENT_SECONDS)
    return None


async def _start(app: FlowState, settings: Settings, link: WorkerLink | None) -> _Started:
    """A server that listens. What can't be opened or listened on ends the command."""
    try:
        store = app.chosen_store(settings)
        engine = app.engine(store, settings)
        server = FlowStateServer(engine, settings)
    except ValueError as error:
        give_up(str(error), MISUSED)
    if link is not None and not store.shared:
        give_up(
            "several processes (--workers, FLOWSTATE_WORKERS) need a store that all of them can open, sqlite:///PATH"
            f" or postgres://USER@HOST/DATABASE, not {_store_name(app, settings)}",
            MISUSED,
        )
    if link is None:
        try:
            server.check_address()
        except OSError as error:
            give_up_listening(error)
    try:
        await engine.open()
    except Exception as error:
        _logger.debug("the engine can't be opened", exc_info=error)
        give_up(f"{error}{place_of(error.__cause__ or error)}", _code_of_opening(error))
    try:
        if link is not None:
            await link.may_listen()
        return _Started(server, await server.start(), partial(glance, store, app.catalogue))
    except OSError as error:
        await server.stop(0.0, 0.0)
        give_up_listening(error)
    except asyncio.CancelledError:
        await server.stop(0.0, 0.0)
        raise


def _code_of_opening(error: Exception) -> int:
    """Whoever restarts a server that has ended does not after ``MISUSED``: what may be over soon must not be that."""
    if isinstance(error, StoreUnreachableError | StoreUnavailableError):
        return UNREACHABLE
    return FAILED if isinstance(error, LifespanError) else MISUSED


async def _warn_of_stored(glance: Callable[[], Awaitable[Looked | None]], link: WorkerLink | None) -> None:
    """Log what ``flowstate check`` would tell of the records of the store, by a few of them: a field that was renamed
    reads as if nothing were stored in it. Of several processes one does."""
    looked = await glance() if link is None or link.number == 1 else None
    if looked is not None:
        for line in (*(note.text for note in looked.notes), *misfit_lines(looked.misfits.values())):
            _logger.warning("what is stored does not fit: %s", line)


def _settle_garbage_collector() -> None:
    """Call this once everything is loaded. What was loaded stays for good, so that no collection visits it again; and a
    collection of young objects waits for more than the calls under way hold, for reference counting frees almost
    all of what a call makes. Saves a tenth of the time of a call."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])


async def _stop_hard(server: FlowStateServer, stopping: asyncio.Task[None]) -> None:
    """End everything now, in the time that is left before the process is ended from elsewhere."""
    stopping.cancel()
    try:
        await server.stop(0.0, 0.0)
    finally:
        drop_unwritten()
        os._exit(HARD_STOPPED)
