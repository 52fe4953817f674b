"""Starting ``busy_process.py``."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flowstate_server.testing.child_signals import with_default_signals

_SCRIPT = Path(__file__).with_name("busy_process.py")


@asynccontextmanager
async def busy_process(path: Path, mode: str, seconds: float = 0) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        *with_default_signals(sys.executable, str(_SCRIPT), str(path), mode, str(seconds)),
        stdin=PIPE,
        stdout=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def heard(process: Process) -> Any:
    """The next line the process says."""
    assert process.stdout is not None
    line = await process.stdout.readline()
    return json.loads(line)


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
