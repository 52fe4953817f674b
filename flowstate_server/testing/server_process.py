"""A server in a process of its own, as an operator starts it: ``flowstate serve``.

For what a server in the test's own process (:mod:`flowstate_server.testing.server`) can't show: several servers on one
store, a server that is killed, stopped or frozen, and its log::

    async with server_process("my_app:app", store=f"sqlite:///{tmp_path}/chat.db", lease=1.0) as server:
        async with FlowStateClient.connect(server.target) as client:
            run = await client.flows.dispatch("chat", "say", {"message": "hi"})
            server.kill()
            await server.start()
            ...
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any

from flowstate_server.testing.child_signals import with_default_signals

# Seconds. A server starts in one and stops within its grace; the rest is for machines that are busy with other tests.
START_SECONDS = 30.0
STOP_SECONDS = 20.0


class ServerProcess:
    """One server, which may be started, ended and started again. :func:`server_process` makes it and cleans up.

    Its environment is that of the test but for the variables ``FLOWSTATE_…``, and it minds SIGINT, SIGTERM and SIGHUP
    as if it was started by hand, whatever the test's own process ignores.

    Args:
        app: What to serve, ``module:name``; the module is imported from where the tests run.
        store: The URL of the store.
        listen: Where it listens; the port 0 stands for a free one.
        log_level: How much it logs, which ``log`` gives.
        settings: Those of the server by name: ``lease=1.0`` is ``FLOWSTATE_LEASE=1.0``.
    """

    def __init__(
        self,
        app: str,
        *,
        store: str = "memory",
        listen: str = "127.0.0.1:0",
        log_level: str = "info",
        **settings: object,
    ) -> None:
        self.app = app
        self.store = store
        self.target = listen
        """Where it listens, hence where to connect to, once it was started."""
        self._log_level = log_level
        self._settings = {f"FLOWSTATE_{name.upper()}": str(value) for name, value in settings.items()}
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process of the last start."""
        if self._process is None:
            raise AssertionError("the server was not started")
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """What the server has written to stderr so far, over all its starts."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    async def start(self) -> ServerProcess:
        """Start it and wait until it listens. Started again after its end it takes the same port.

        Raises:
            AssertionError: it runs already, or does not listen in time; with its log.
        """
        if self.running:
            raise AssertionError("the server runs already")
        self._close_pipe()
        self._process = self._spawn()
        try:
            async with asyncio.timeout(START_SECONDS):
                self.target = str((await self.told("listening"))["address"])
        except TimeoutError:
            self.kill()
            raise AssertionError(f"the server did not listen in time:\n{self.log}") from None
        return self

    async def told(self, event: str) -> dict[str, Any]:
        """Wait for the next line that the server says on stdout, one of JSON, which must be of that ``event``.

        After ``listening``, which ``start`` has taken, comes ``stopping`` when it was told to.

        Raises:
            AssertionError: it is another, or the server has ended instead.
        """
        stdout = self.process.stdout
        line = "" if stdout is None else await asyncio.to_thread(stdout.readline)
        if not line:
            # Its output ends a moment before the process does, and who starts it again must not find it running.
            await asyncio.to_thread(self.process.wait, STOP_SECONDS)
            raise AssertionError(f"the server ended without saying {event!r}:\n{self.log}")
        said: dict[str, Any] = json.loads(line)
        if said["event"] != event:
            raise AssertionError(f"the server was to say {event!r}, and said {said}")
        return said

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    async def terminate(self) -> int:
        """SIGTERM, and wait for the drain; the exit code."""
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, STOP_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: alive, but silent until :meth:`resume`."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill what is left of it, and forget its log."""
        if self.running:
            self.kill()
        self._close_pipe()
        self._log.close()

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            with_default_signals(*self._command()),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def _close_pipe(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()

    def _command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "flowstate_server", "serve", self.app),
            *("--store", self.store, "--listen", self.target, "--log-level", self._log_level),
        ]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWSTATE_")}
        return kept | self._settings


@asynccontextmanager
async def server_process(app: str, **options: Any) -> AsyncIterator[ServerProcess]:
    """A server that listens, for as long as the ``with`` lasts; then whatever is left of it is killed.

    If the block raises, the exception's notes have the server's log. ``options`` are those of :class:`ServerProcess`.
    """
    async with server_processes(1, app, **options) as (server,):
        yield server


@asynccontextmanager
async def server_processes(count: int, app: str, **options: Any) -> AsyncIterator[list[ServerProcess]]:
    """Several servers with the same options, started at once, for example on one SQLite file."""
    servers = [ServerProcess(app, **options) for _ in range(count)]
    try:
        await asyncio.gather(*(server.start() for server in servers))
        yield servers
    except BaseException as error:
        for server in servers:
            error.add_note(f"log of the server on {server.target}:\n{server.log[-8000:]}")
        raise
    finally:
        for server in servers:
            server.close()
