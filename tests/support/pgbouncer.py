"""PgBouncer in transaction mode before the tests' PostgreSQL, where ``FLOWSTATE_TEST_PGBOUNCER`` is set."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from urllib.parse import urlencode, urlsplit, urlunsplit

import pytest

from tests.support.ports import lasting_port

VARIABLE = "FLOWSTATE_TEST_PGBOUNCER"
START_SECONDS = 10.0
UNPRIVILEGED = 65534
# It refuses to run as root.
_EXEC = (
    f"import os, sys; os.getuid() or (os.setgroups([]), os.setgid({UNPRIVILEGED}), os.setuid({UNPRIVILEGED}));"
    " os.execv(sys.argv[1], sys.argv[1:])"
)


def wanted() -> bool:
    """Whether every database of Postgres is to be reached through a pooler."""
    return bool(os.environ.get(VARIABLE))


def pooled_url(dsn: str) -> str:
    """A store's URL that leads to the database of ``dsn`` through the pooler, and past it to listen."""
    parts = urlsplit(dsn)
    direct = f"{parts.hostname}:{parts.port}"
    options = urlencode({"pool": "4", "serverless": "true", "listen": direct})
    user = parts.username or "postgres"
    return urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{_pooler(direct)}", query=options))


@cache
def _pooler(server: str) -> int:
    """The port of a pooler before that server, started once; it goes with this process."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.fail("PgBouncer is not installed; it is a system package, pgbouncer")
    folder, port = Path(tempfile.mkdtemp(prefix="flowstate-pgbouncer-")), lasting_port()
    folder.chmod(0o711)
    host, _, server_port = server.rpartition(":")
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={host} port={server_port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
        "max_client_conn = 500\ndefault_pool_size = 10\nserver_idle_timeout = 5\nlog_connections = 0\n"
        "log_disconnections = 0\n"
    )
    (folder / "pgbouncer.ini").chmod(0o644)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _EXEC, program, str(folder / "pgbouncer.ini")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    atexit.register(_end, process, folder)
    _await(port, process, folder / "log")
    return port


def _end(process: subprocess.Popen[bytes], folder: Path) -> None:
    process.kill()
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _await(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                pytest.fail(f"PgBouncer did not start:\n{log.read_text()}")
            time.sleep(0.02)
