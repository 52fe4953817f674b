"""A process that keeps calling a server: a client that is full itself would measure how long calls wait for that.

``python -m benchmarks.caller`` reads a line with a JSON array, the address and a session, writes an empty line once it
calls, goes on until there is another line, and then writes how long each call took, as a JSON array of milliseconds;
and again.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpc import aio

from benchmarks import event_loop
from benchmarks.subject import CHECKOUT, TRUSTED, action_call
from flowstate.v1.flow_service_pb2_grpc import FlowServiceStub

PAUSE = 1 / 50


class Caller:
    """The process, seen from the one that measures. Made by :func:`started`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @asynccontextmanager
    async def calling(self, address: str, session: str) -> AsyncIterator[list[float]]:
        """It calls meanwhile; what is yielded has the milliseconds of its calls after that."""
        took = list[float]()
        await self._tell(json.dumps((address, session)))
        yield took
        took += json.loads(await self._tell(""))

    async def _tell(self, line: str) -> bytes:
        """What it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that calls has ended")
        return answer


@asynccontextmanager
async def started() -> AsyncIterator[Caller]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.caller"), stdin=PIPE, stdout=PIPE, cwd=CHECKOUT, limit=1 << 20
    )
    try:
        yield Caller(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _serve() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await _keep_calling(*json.loads(line))), flush=True)


async def _keep_calling(address: str, session: str) -> list[float]:
    took, call = [], action_call("turn", {"text": "hi"}, session)
    async with aio.insecure_channel(address) as channel:
        flows = FlowServiceStub(channel)
        await flows.CallAction(call, metadata=TRUSTED)
        print(flush=True)
        over = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
        while not over.done():
            began = time.monotonic()
            await flows.CallAction(call, metadata=TRUSTED)
            took.append((time.monotonic() - began) * 1e3)
            await asyncio.sleep(PAUSE)
        await over
    return took


if __name__ == "__main__":
    event_loop.run(_serve())
