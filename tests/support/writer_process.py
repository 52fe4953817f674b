"""A client in a process of its own: ``python -m tests.support.writer_process TARGET SESSION WRITES``.

Says ``ready``, waits for a line, adds 1 to the session's count as often as told, half of it through actions, all at
once, and says which versions it was told as a JSON list.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from flowstate_client import FlowStateClient
from flowstate_server.testing.child_signals import with_default_signals

CHECKOUT = Path(__file__).parents[2]
KIND = "ledger"
USER = "ada"


async def write(target: str, session: str, writes: int) -> list[int]:
    async with FlowStateClient.connect(target, plane="trusted", user=USER) as client:
        await client.ready()
        _say("ready")
        await asyncio.to_thread(sys.stdin.readline)

        async def one(number: int) -> int:
            if number % 2:
                return await client.flows.call(KIND, "bump", {}, output=int, session_id=session)
            written = await client.state.session(session).inc_state(count=1)
            return written.version

        return await asyncio.gather(*(one(number) for number in range(writes)))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def start_writer(target: str, session: str, writes: int) -> Process:
    """Start such a process, and wait until it is connected; see :func:`versions_of`."""
    command = (sys.executable, "-m", "tests.support.writer_process", target, session, str(writes))
    process = await asyncio.create_subprocess_exec(
        *with_default_signals(*command), cwd=CHECKOUT, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    if line != b"ready\n":
        _, errors = await process.communicate()
        raise AssertionError(f"the writer did not start:\n{errors.decode()}")
    return process


async def versions_of(process: Process) -> list[int]:
    """Let a writer begin; the versions that it was told."""
    answer, errors = await process.communicate(b"go\n")
    assert process.returncode == 0, errors.decode()
    versions: list[int] = json.loads(answer)
    return versions


if __name__ == "__main__":
    _say(json.dumps(asyncio.run(write(sys.argv[1], sys.argv[2], int(sys.argv[3])))))
