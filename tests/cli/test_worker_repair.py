"""``flowstate serve --workers`` while a worker does not start as it should: the others serve on, and it is repaired."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flowstate_client import FlowStateClient, Unauthenticated
from flowstate_server.cli.worker_process import WorkerProcess
from flowstate_server.cli.workers import _Workers
from flowstate_server.settings import Settings
from flowstate_server.testing.waiting import until
from tests.cli.flowstate_command import completed, started, stderr_of, told
from tests.cli.test_workers import Serving, alive

# While there is a file "hold", who starts waits until there is a file "free".
APP = """
import asyncio, os
from contextlib import asynccontextmanager
from pathlib import Path
from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, action, define_flow, handler

HERE = Path(__file__).parent

@asynccontextmanager
async def lifespan():
    if (HERE / "hold").exists():
        (HERE / "held").touch()
        while not (HERE / "free").exists():
            await asyncio.sleep(0.05)
    yield

@handler
async def where(value: str, ctx: Context) -> int:
    return os.getpid()

app = create_flowstate(flows=[define_flow("where", actions={"where": action(block=where)})], lifespan=lifespan)
"""
SILENT = "import os; os._exit(7)"


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[Serving]:
    (folder / "gated.py").write_text(APP)
    place = ("--app-dir", str(folder), "--listen", "127.0.0.1:0", "--store", f"sqlite:///{folder}/kept.db")
    with started("serve", "gated:app", "--log-format", "json", *place, *more, FLOWSTATE_LEASE="6") as process:
        listening = {} if (folder / "hold").exists() else told(process, "listening")
        with stderr_of(process) as log:
            yield Serving(process, listening, log)


async def held(folder: Path) -> None:
    await until((folder / "held").exists)


def write_tokens(folder: Path, *names: str) -> str:
    path = folder / "tokens.toml"
    path.write_text("".join(f'[[tokens]]\ntoken = "token of {name}"\nuser = "{name}"\n' for name in names))
    return str(path)


async def refused(server: Serving, name: str) -> None:
    async with FlowStateClient.connect(server.address, token=f"token of {name}") as client:
        with pytest.raises(Unauthenticated):
            await client.flows.call("where", "where", "")


async def test_a_token_that_goes_while_a_server_starts_is_gone(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    with serving(tmp_path, "--tokens", write_tokens(tmp_path, "ada", "bob")) as server:
        await held(tmp_path)
        write_tokens(tmp_path, "bob")
        server.process.send_signal(signal.SIGHUP)
        (tmp_path / "free").touch()
        server.listening |= told(server.process, "listening")
        await server.logged("were reloaded")
        await refused(server, "ada")


async def test_a_token_that_goes_while_a_worker_starts_is_gone(tmp_path: Path) -> None:
    tokens = write_tokens(tmp_path, "ada", "bob")
    with serving(tmp_path, "--workers", "2", "--tokens", tokens) as server:
        (tmp_path / "hold").touch()
        os.kill(server.pids[0], signal.SIGKILL)
        await held(tmp_path)
        write_tokens(tmp_path, "bob")
        server.process.send_signal(signal.SIGHUP)
        (tmp_path / "free").touch()
        for number in (1, 2):
            await server.reloaded(number)
        for _ in range(12):  # some connections lead to each of them
            await refused(server, "ada")


async def test_others_are_repaired_while_one_hangs_at_its_start(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        (tmp_path / "hold").touch()
        server.process.send_signal(signal.SIGUSR2)
        await held(tmp_path)
        (tmp_path / "hold").unlink()
        for pid in server.pids:
            os.kill(pid, signal.SIGKILL)
        await server.logged("worker 2 listens")
        async with FlowStateClient.connect(server.address, user="ada") as client:
            assert await client.flows.call("where", "where", "") not in server.pids
        (tmp_path / "free").touch()
        await server.logged("worker 1 listens")


async def test_where_no_process_can_be_started_the_others_serve_on(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as server:
        parent = server.process.pid
        soft, hard = resource.prlimit(parent, resource.RLIMIT_NOFILE)
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{parent}/fd")), hard))
        server.process.send_signal(signal.SIGUSR2)
        await server.logged("the workers that are left serve on as they are")
        assert any("worker 1 can't be started: [Errno 24]" in line for line in server.log)
        os.kill(server.pids[1], signal.SIGKILL)
        await server.logged("worker 2 can't be started: [Errno 24]")
        async with FlowStateClient.connect(server.address, user="ada") as client:
            assert await client.flows.call("where", "where", "") == server.pids[0]
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (soft, hard))
        await server.logged("worker 2 listens")


async def test_a_start_that_takes_too_long_is_ended() -> None:
    workers = _Workers(["serve", "any:app"], "127.0.0.1:0", Settings(workers=2))
    workers._command = [sys.executable, "-c", "import time; time.sleep(60)"]
    workers._start_limit = 0.2
    assert not await workers._bring_up(1)
    assert not workers._alive


async def test_the_end_of_a_worker_is_seen_although_its_child_has_the_link() -> None:
    command = [sys.executable, "-c", "import os, time; os.fork() or time.sleep(60); os._exit(3)"]
    worker = await WorkerProcess.start(1, command, "127.0.0.1:0")
    try:
        assert not await worker.opened()
        assert await worker.ended() == 3
        assert not alive(worker.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)


def test_a_worker_that_ends_without_a_word_is_named(tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text(SILENT)
    store = f"sqlite:///{tmp_path}/kept.db"
    ended = completed("serve", "silent:app", "--workers", "2", "--app-dir", str(tmp_path), "--store", store)
    assert ended.code == 7
    assert "worker 1 has ended with exit code 7 before it listened" in ended.stderr
