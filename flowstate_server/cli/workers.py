"""``flowstate serve --workers``: several processes on one port, kept by this one, which serves nothing itself."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from flowstate_server.cli.announcement import Announcement, Served
from flowstate_server.cli.own_terminal import drop_unwritten, on_own_terminal
from flowstate_server.cli.problem import FAILED, MISUSED, UNREACHABLE, give_up, give_up_listening, note
from flowstate_server.cli.process_end import HARD_STOP_SECONDS, STOPPING, stop_limit
from flowstate_server.cli.reserved_port import reserve_port
from flowstate_server.cli.worker_link import Order
from flowstate_server.cli.worker_process import WorkerProcess, exit_code, how_it_ended
from flowstate_server.rpc.listening import check_listening, refusal
from flowstate_server.settings import Settings

# A worker that has listened for that long is started again at once, others after a pause that doubles. Chosen.
HEALTHY_SECONDS = 30.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
# Beyond the time in which a worker ends itself.
LAST_PATIENCE = 1.0
# What the first start took tells how long a later one may take, when the machine may be busy: what an app loads and
# waits for is its own. At least a minute. Chosen.
START_PATIENCE = 5.0
SHORTEST_START_LIMIT = 60.0

_logger = logging.getLogger(__name__)


def serve_with_workers(arguments: Sequence[str], settings: Settings) -> int:
    """Run the command line ``arguments`` in several processes until a signal stops them; the worst of their exit codes.
    If one of them does not start, the others end, and its code is the one."""
    if sys.platform != "linux":
        give_up("several processes (--workers) can share a port on Linux only", MISUSED)
    if settings.listen.startswith("unix"):
        give_up(
            "several processes (--workers) share a port, HOST:PORT; a Unix socket they can't share", MISUSED
        )
    secured = settings.tls_cert is not None and settings.tls_key is not None
    try:
        check_listening(
            settings.listen, tls=secured, credentials=settings.tokens is not None, insecure=settings.insecure
        )
    except ValueError as error:
        give_up(str(error), MISUSED)
    try:
        held, port = reserve_port(settings.listen, among_others=settings.reuse_port)
    except OSError:
        give_up_listening(refusal(settings.listen))
    listen = f"{settings.listen.rpartition(':')[0]}:{port}"
    try:
        return asyncio.run(_Workers(arguments, listen, settings).run())
    finally:
        drop_unwritten()
        for one in held:
            one.close()


class _Workers:
    def __init__(self, arguments: Sequence[str], listen: str, settings: Settings) -> None:
        self._command = [sys.executable, "-m", "flowstate_server", *arguments]
        self._listen = listen
        self._numbers = range(1, settings.workers + 1)
        self._limit = stop_limit(settings) + LAST_PATIENCE
        self._announcement = Announcement(settings)
        self._on_terminal = on_own_terminal()
        self._current: dict[int, WorkerProcess] = {}
        self._alive: set[WorkerProcess] = set()  # with those that are about to serve or to end
        self._starting = {number: asyncio.Lock() for number in self._numbers}
        self._start_limit = SHORTEST_START_LIMIT
        self._replace = asyncio.Event()
        self._stop = asyncio.Event()
        self._signals = 0

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in STOPPING:
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        loop.add_signal_handler(signal.SIGUSR2, self._replace.set)
        serving = asyncio.create_task(self._serve())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((serving, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        serving.cancel()
        await asyncio.wait((serving,))
        listened = bool(self._current)
        if listened:
            self._announcement.stopping()
        codes = await asyncio.gather(*(self._end(worker, Order.STOP) for worker in self._alive))
        if listened:
            self._announcement.stopped()
        return max(codes, default=0) if serving.cancelled() else serving.result()

    async def _serve(self) -> int:
        """Returns only where the start has failed, with the exit code."""
        served = await self._start()
        if isinstance(served, int):
            return served
        self._announcement.listening(served, [worker.pid for worker in self._current.values()])
        await asyncio.gather(self._replace_when_told(), *map(self._keep, self._numbers))
        return FAILED

    async def _start(self) -> Served | int:
        """All of them, or the exit code of one that failed. The first one goes ahead: what is wrong is said once."""
        began = time.monotonic()
        workers: list[WorkerProcess] = []
        for numbers in (self._numbers[:1], self._numbers[1:]):
            try:
                started = [await self._spawn(number) for number in numbers]
            except OSError as error:
                note(f"a worker can't be started: {error}")
                return FAILED
            for worker in started:
                if not await worker.opened():
                    return await self._failed(worker)
            workers += started
        told = await asyncio.gather(*(worker.listening() for worker in workers))
        for worker, served in zip(workers, told, strict=True):
            if served is None:
                return await self._failed(worker)
        self._current = {worker.number: worker for worker in workers}
        self._start_limit = max(SHORTEST_START_LIMIT, START_PATIENCE * (time.monotonic() - began))
        assert told[0] is not None
        return told[0]

    async def _spawn(self, number: int) -> WorkerProcess:
        worker = await WorkerProcess.start(number, self._command, self._listen)
        self._alive.add(worker)
        return worker

    async def _failed(self, worker: WorkerProcess) -> int:
        code = await worker.ended()
        self._alive.discard(worker)
        if code not in (FAILED, MISUSED, UNREACHABLE):  # who ends with one of these has said why
            note(f"worker {worker.number} {how_it_ended(code)} before it listened")
        return exit_code(code) or FAILED

    async def _bring_up(self, number: int) -> bool:
        """Whether another one listens as ``number``."""
        try:
            worker = await self._spawn(number)
        except OSError as error:
            _logger.error("worker %d can't be started: %s", number, error)
            return False
        try:
            async with asyncio.timeout(self._start_limit):
                if await worker.opened() and await worker.listening():
                    self._current[number] = worker
                    _logger.info("worker %d listens (process %d)", number, worker.pid)
                    return True
                await worker.ended()
        except TimeoutError:
            _logger.error("worker %d did not listen within %.0f seconds", number, self._start_limit)
            worker.kill()
        code = await worker.ended()
        self._alive.discard(worker)
        _logger.error("worker %d (process %d) %s before it listened", number, worker.pid, how_it_ended(code))
        return False

    async def _keep(self, number: int) -> NoReturn:
        """Bring up another one when that worker ends, unless it was replaced."""
        failures = 0
        while True:
            worker = self._current[number]
            code = await worker.ended()
            self._alive.discard(worker)
            if worker is not self._current[number]:
                continue
            failures = 0 if worker.seconds > HEALTHY_SECONDS else failures + 1
            _logger.error("worker %d (process %d) %s", number, worker.pid, how_it_ended(code))
            while worker is self._current[number]:
                await asyncio.sleep(_pause(failures))
                async with self._starting[number]:
                    if worker is self._current[number] and not await self._bring_up(number):
                        failures += 1

    async def _replace_when_told(self) -> NoReturn:
        while True:
            await self._replace.wait()
            self._replace.clear()
            _logger.info("the workers are replaced, one after the other")
            if await self._replace_all():
                _logger.info("the workers were replaced")
            else:
                _logger.error("the workers that are left serve on as they are")

    async def _replace_all(self) -> bool:
        for number in self._numbers:
            async with self._starting[number]:
                worker = self._current[number]
                if worker.has_ended:  # the next one is on its way
                    continue
                if not await self._bring_up(number):
                    return False
            await self._end(worker, Order.MAKE_ROOM)
        return True

    async def _end(self, worker: WorkerProcess, order: Order) -> int:
        """Its exit code; one that was ended while it started has done nothing wrong."""
        worker.tell(order)
        try:
            async with asyncio.timeout(self._limit):
                code = await worker.ended()
        except TimeoutError:
            worker.kill()
            code = await worker.ended()
        self._alive.discard(worker)
        return 0 if code == -signal.SIGTERM else exit_code(code)

    def _told_to_stop(self) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals == 2:
            for worker in self._alive:
                worker.tell(Order.URGE)
            asyncio.get_running_loop().call_later(HARD_STOP_SECONDS + LAST_PATIENCE, self._kill)
        elif self._signals > 2:
            self._kill()

    def _kill(self) -> None:
        for worker in self._alive:
            worker.kill()

    def _hung_up(self) -> None:
        if self._on_terminal:
            self._stop.set()
            return
        for worker in self._alive:
            worker.hang_up()


def _pause(failures: int) -> float:
    """Seconds before the next start, after so many ends in a row that came soon."""
    return min(FIRST_PAUSE * 2.0 ** (failures - 1), LONGEST_PAUSE) if failures else 0.0
