"""A Postgres that is frozen: nothing answers, nothing breaks."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from flowstate_client import FlowStateError
from flowstate_server.flows import Context
from flowstate_server.store_urls import store_from_url
from flowstate_server.testing.waiting import until
from tests.support.hosted import FAST, hosted, play
from tests.support.postgres_server import PostgresServer

CALLERS = 30


async def _nothing(ctx: Context) -> None:
    await ctx.emit("done")


def _processes(root: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(root)], capture_output=True, text=True, check=False).stdout
    return [root, *(process for child in found.split() for process in _processes(int(child)))]


@contextmanager
def _frozen(server: PostgresServer) -> Iterator[None]:
    processes = _processes(server.pid)
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in _processes(server.pid):
            os.kill(process, signal.SIGCONT)


async def test_a21_dispatches_that_nobody_waits_for_any_more_fail_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    with PostgresServer.run() as server:
        async with (
            hosted(play(_nothing), store=store_from_url(server.dsn())) as host,
            host.client(config=replace(FAST, timeout=1.0)) as client,
        ):

            async def call(timeout: float) -> bool:
                try:
                    await client.flows.call("play", "play", {}, timeout=timeout)
                except (FlowStateError, TimeoutError):
                    return False
                return True

            assert await call(5.0)
            with _frozen(server):
                served = await asyncio.gather(*(call(0.5) for _ in range(CALLERS)))
                assert not any(served)
                await until(lambda: "Postgres failed" in caplog.text, 20.0)
                await asyncio.sleep(3.0)  # until what was begun has failed, too
            await until(lambda: call(2.0), 20.0)
        gc.collect()
        await asyncio.sleep(0)
    assert unheard == []
