"""``flowstate serve --workers``: several processes on one port."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flowstate_client import ActionAborted, ActionInterrupted, FlowStateClient
from flowstate_server.cli.log_lines import JsonLines, TextLines
from flowstate_server.cli.reserved_port import reserve_port
from flowstate_server.cli.workers import LONGEST_PAUSE, _pause
from flowstate_server.store_urls import store_from_url
from flowstate_server.testing.waiting import until
from tests.cli.flowstate_command import completed, flowstate, started, stderr_of, told
from tests.cli.shell_terminal import typing
from tests.cli.test_serve import _assert_refused
from tests.support.postgres_server import fresh_database

APP = """
import asyncio, os
from flowstate_server.flows import Context, action, define_flow, handler

@handler
async def where(value: str, ctx: Context) -> list[str | int]:
    return [os.getpid(), "ANSWER"]

@handler
async def nap(seconds: float, ctx: Context) -> int:
    await ctx.emit("asleep")
    await asyncio.sleep(seconds)
    return os.getpid()

flow = define_flow("where", actions={"where": action(block=where), "nap": action(block=nap)})
"""


def write(folder: Path, answer: str) -> None:
    (folder / "where.py").write_text(APP.replace("ANSWER", answer) if answer else "def broken(\n")


@dataclass
class Serving:
    process: subprocess.Popen[str]
    listening: dict[str, Any]
    log: list[str]

    @property
    def address(self) -> str:
        return str(self.listening["address"])

    @property
    def pids(self) -> list[int]:
        return list(self.listening["workers"])

    async def logged(self, text: str, since: int = 0) -> None:
        await until(lambda: any(text in line for line in self.log[since:]), what=text)

    async def reloaded(self, worker: int, since: int = 0) -> None:
        """In a log of JSON lines."""
        told = ("were reloaded", f'"worker": {worker}')
        await until(lambda: any(all(part in line for part in told) for line in self.log[since:]))


@contextmanager
def serving(folder: Path, store: str, *more: str) -> Iterator[Serving]:
    write(folder, "old")
    options = ("--app-dir", str(folder), "--listen", "127.0.0.1:0", "--store", store, *more)
    with started("serve", "where:flow", "--workers", "2", *options, FLOWSTATE_LEASE="6") as process:
        listening = told(process, "listening")
        with stderr_of(process) as log:
            yield Serving(process, listening, log)


def connected(server: Serving) -> FlowStateClient:
    return FlowStateClient.connect(server.address, user="ada")


async def where(client: FlowStateClient) -> tuple[int, str]:
    pid, answer = await client.flows.call("where", "where", "", output=list[Any])
    return pid, answer


async def one_of_each(server: Serving, clients: AsyncExitStack) -> dict[int, FlowStateClient]:
    """A client of each worker: the kernel chooses where a connection leads to."""
    found: dict[int, FlowStateClient] = {}
    while len(found) < 2:
        client = await clients.enter_async_context(connected(server))
        found.setdefault((await where(client))[0], client)
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def loads_grpc(pid: int) -> bool:
    return "cygrpc" in Path(f"/proc/{pid}/maps").read_text()


async def both_serve_and_one_is_killed(server: Serving, *, known_dead: bool) -> None:
    async with AsyncExitStack() as clients:
        each = await one_of_each(server, clients)
        assert set(each) == set(server.pids)
        assert loads_grpc(server.pids[0])
        (here, mine), (there, other) = each.items()
        run = await mine.flows.dispatch("where", "nap", 0.5)
        assert await other.flows.handle(run.request_id).result(timeout=20) == here
        run = await mine.flows.dispatch("where", "nap", 600.0)
        await other.flows.handle(run.request_id).cancel()
        with pytest.raises(ActionAborted):
            await run.result(timeout=20)
        run = await mine.flows.dispatch("where", "nap", 600.0)
        os.kill(here, signal.SIGKILL)
        assert (await where(mine))[0] != here
        if known_dead:
            with pytest.raises(ActionInterrupted):
                await other.flows.handle(run.request_id).result(timeout=20)
        await server.logged("worker 1 listens" if here == server.pids[0] else "worker 2 listens")
        after = await one_of_each(server, clients)
        assert there in after
        assert len(after) == 2


async def all_stop_and_a_run_is_seen_to_its_end(server: Serving, told_to: Iterable[int]) -> None:
    """By who follows it, at each of the workers."""
    async with AsyncExitStack() as clients:
        each = await one_of_each(server, clients)
        (here, mine), _ = each.items()
        run = await mine.flows.dispatch("where", "nap", 3.0)  # streams that go at once go within two seconds
        handles = [client.flows.handle(run.request_id) for client in each.values()]
        tails = [handle.events() for handle in handles]
        for tail in tails:
            assert (await anext(tail)).sequence == 1
        waiting = [asyncio.create_task(handle.result()) for handle in handles]
        # The waits are to be there before the signal, and nothing tells that they are.
        await asyncio.sleep(0.2)
        for pid in told_to:
            os.kill(pid, signal.SIGTERM)
        async with asyncio.timeout(20):
            for tail in tails:
                *_, last = [event async for event in tail]
                assert last.type == "request.completed"
            assert await asyncio.gather(*waiting) == [here, here]


async def test_both_serve_and_a_killed_one_is_started_again(tmp_path: Path) -> None:
    with serving(tmp_path, f"sqlite:///{tmp_path}/kept.db") as server:
        assert server.listening["pid"] == server.process.pid
        assert server.listening["created"]
        assert not loads_grpc(server.process.pid)
        await both_serve_and_one_is_killed(server, known_dead=True)
        (pid,) = [pid for pid in server.pids if alive(pid)]
        server.process.kill()
        server.process.wait(10)
        await until(lambda: not alive(pid))
        with closing(reserve_port(server.address, among_others=False)[0][0]):
            pass


async def test_a_signal_to_their_parent_waits_for_runs(tmp_path: Path) -> None:
    with serving(tmp_path, f"sqlite:///{tmp_path}/kept.db") as server:
        await all_stop_and_a_run_is_seen_to_its_end(server, (server.process.pid,))
        told(server.process, "stopping")
        told(server.process, "stopped")
        assert server.process.wait(20) == 0


async def test_on_postgres_and_a_signal_to_all_of_them_waits_for_runs(tmp_path: Path) -> None:
    async with fresh_database() as url:
        with serving(tmp_path, url) as server:
            await both_serve_and_one_is_killed(server, known_dead=False)
            all_of_them = (*filter(alive, server.pids), server.process.pid)  # as systemd does
            await all_stop_and_a_run_is_seen_to_its_end(server, all_of_them)
            told(server.process, "stopping")
            told(server.process, "stopped")
            assert server.process.wait(20) == 0


async def test_all_are_replaced_without_a_failed_call(tmp_path: Path) -> None:
    with serving(tmp_path, f"sqlite:///{tmp_path}/kept.db", "--log-format", "json") as server:
        write(tmp_path, "new")
        async with connected(server) as one, connected(server) as other:
            seen: set[tuple[int, str]] = set()
            done = asyncio.Event()

            async def call(client: FlowStateClient) -> None:
                while not done.is_set():
                    seen.add(await where(client))
                    await client.sessions.list().first()

            calls = [asyncio.create_task(call(client)) for client in (one, other)]
            naps = [await client.flows.dispatch("where", "nap", 2.0) for client in (one, other)]
            server.process.send_signal(signal.SIGUSR2)
            await server.logged("the workers were replaced")
            for nap in naps:
                assert await nap.result(timeout=20) in server.pids
            assert {answer for _, answer in [await where(one), await where(other)]} == {"new"}
            done.set()
            await asyncio.gather(*calls)
        assert {pid for pid, answer in seen if answer == "old"} <= set(server.pids)
        assert not any(alive(pid) for pid in server.pids)
        since = len(server.log)
        server.process.send_signal(signal.SIGHUP)
        for number in (1, 2):
            await server.reloaded(number, since)


async def test_a_broken_replacement_changes_nothing_and_a_second_ctrl_c_does_not_wait(
    tmp_path: Path,
) -> None:
    write(tmp_path, "old")
    serve = ("serve", "where:flow", "--workers", "2", "--app-dir", str(tmp_path), "--listen", "localhost:0")
    store = ("--store", f"sqlite:///{tmp_path}/kept.db")
    with typing(sys.executable, "-m", "flowstate_server", *serve, *store) as it:
        it.wait_for("Ctrl-C stops it.")
        found = re.search(r"listening on +(localhost:\d+)\r\n +workers +2 processes\r\n", it.shown)
        assert found
        async with FlowStateClient.connect(found[1], user="ada") as client:
            await client.flows.dispatch("where", "nap", 600.0)
        write(tmp_path, "")
        it.process.send_signal(signal.SIGUSR2)
        it.wait_for("the workers that are left serve on as they are")
        began = time.monotonic()
        it.type("\x03")
        it.wait_for("Stopping")
        it.type("\x03")
        assert it.wait_for_end() == 1
        assert time.monotonic() - began < 5


REFUSED = {
    "a Unix socket": (["--listen", "unix:socket"], "a Unix socket they can't share"),
    "reload": (["--reload"], "--reload is for one process, and excludes several"),
    "beyond loopback": (["--listen", "0.0.0.0:0"], "refusing to listen on 0.0.0.0:0"),
}


@pytest.mark.parametrize(("arguments", "problem"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_served_so_is_one_line_and_exit_code_2(arguments: list[str], problem: str) -> None:
    _assert_refused(flowstate("serve", "examples.chat:flowstate", *arguments, FLOWSTATE_WORKERS="2"), problem)


def test_an_address_that_is_not_here_may_come() -> None:
    listen = ("--insecure", "--listen", "192.0.2.1:0", "--workers", "2")
    problem = "can't listen on 192.0.2.1:0: "
    _assert_refused(flowstate("serve", "examples.chat:flowstate", *listen), problem, code=3)


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ("examples.chat:flowstate", "DATABASE, not memory"),
        ("examples.chat:nope", "the module has no nope"),
    ],
    ids=["its store", "its app"],
)
def test_what_a_worker_refuses_is_said_once(app: str, problem: str) -> None:
    _assert_refused(completed("serve", app, "--listen", "127.0.0.1:0", "--workers", "2"), problem)


def test_only_databases_are_for_several_processes(tmp_path: Path) -> None:
    urls = {"memory": False, f"file:{tmp_path}": False, "sqlite:///x": True, "postgres://x@y/z": True}
    assert {url: store_from_url(url).shared for url in urls} == urls


@pytest.mark.parametrize("listens", [False, True])
def test_a_port_that_somebody_has_is_refused_although_they_would_share_it(listens: bool) -> None:
    (held,), port = reserve_port("127.0.0.1:0", among_others=False)
    with held:
        if listens:
            held.listen()
        listen = f"127.0.0.1:{port}"
        problem = f"can't listen on {listen}: address already in use"
        _assert_refused(flowstate("serve", "any:app", "--workers", "2", "--listen", listen), problem, code=3)
        (beside,), _ = reserve_port(listen, among_others=True)
        beside.close()
    (free,), _ = reserve_port(listen, among_others=False)
    free.close()


def test_a_port_of_all_addresses_of_a_name() -> None:
    held, port = reserve_port("localhost:0", among_others=False)
    assert port
    assert {one.getsockname()[1] for one in held} == {port}
    for one in held:
        one.close()


def test_a_line_of_a_log_has_the_number_of_its_worker() -> None:
    record = logging.makeLogRecord({"msg": "hello", "worker": "an author's own"})
    assert TextLines(worker=2).format(record).endswith("hello worker=2")
    line = json.loads(JsonLines(worker=2).format(record))
    assert (line["worker"], line["extra_worker"]) == (2, "an author's own")


def test_pauses_grow_and_a_worker_that_was_healthy_comes_back_at_once() -> None:
    assert [_pause(failures) for failures in range(5)] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert _pause(100) == LONGEST_PAUSE
