"""A server in a process of its own, as an operator starts it: ``python -m flowstate_server serve``."""

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
from pathlib import Path
from typing import IO, Any

CHECKOUT = Path(__file__).parents[2]
APP = "tests.support.flows:app"
START_SECONDS = 30.0
STOP_SECONDS = 20.0


class ServerProcess:
    """Starts when it is awaited for with :meth:`start`; make it with :func:`server_process`, which cleans up.

    ``settings`` are those of the server by name: ``lease=1.0`` is ``FLOWSTATE_LEASE=1.0``.
    """

    def __init__(
        self,
        app: str = APP,
        *,
        store: str = "memory",
        listen: str = "127.0.0.1:0",
        log_level: str = "info",
        **settings: object,
    ) -> None:
        self.app = app
        self.store = store
        self.target = listen
        self._log_level = log_level
        self._settings = {f"FLOWSTATE_{name.upper()}": str(value) for name, value in settings.items()}
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None, "not started"
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
        """Start it and wait until it listens. Started again after its end it takes the same port."""
        assert not self.running, "runs already"
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
        """The next line that the server says on stdout, which must be of that event."""
        assert self.process.stdout is not None
        line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, f"the server ended without saying {event!r}:\n{self.log}"
        said: dict[str, Any] = json.loads(line)
        assert said["event"] == event, said
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
        """SIGSTOP: alive, but silent."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        if self.running:
            self.kill()
        self._close_pipe()
        self._log.close()

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command(),
            cwd=CHECKOUT,
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
        """The environment without the settings of whoever runs the tests."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLOWSTATE_")}
        return kept | self._settings


@asynccontextmanager
async def server_process(app: str = APP, **options: Any) -> AsyncIterator[ServerProcess]:
    """A server that listens. If the test fails its log is shown; whatever is left of it is killed.

    ::

        async with server_process(store=f"sqlite:///{tmp_path}/flowstate.db", lease=1.0) as server:
            async with FlowStateClient.connect(server.target) as client: ...
    """
    async with server_processes(1, app, **options) as (server,):
        yield server


@asynccontextmanager
async def server_processes(count: int, app: str = APP, **options: Any) -> AsyncIterator[list[ServerProcess]]:
    """Several servers, started at once, for example on one SQLite file."""
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
