"""A FlowState server in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
START_SECONDS = 15.0
STOP_SECONDS = 10.0


class ServerTrouble(Exception):
    """The server did not do what it should; its log says more."""


@dataclass(frozen=True)
class ServerProcess:
    address: str
    pid: int


@asynccontextmanager
async def served(app: str, *, store: str, log: Path) -> AsyncIterator[ServerProcess]:
    """Serve ``app`` on a free port for as long as the ``with`` lasts; what the server logs is added to ``log``."""
    with log.open("ab") as log_file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flowstate_server", "serve", app),
            *("--store", store, "--listen", "127.0.0.1:0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=log_file,
            cwd=CHECKOUT,
        )
    try:
        yield ServerProcess(await _address(process), process.pid)
        process.terminate()
        async with asyncio.timeout(STOP_SECONDS):
            code = await process.wait()
        if code != 0:
            raise ServerTrouble(f"the server ended with exit code {code}")
    except TimeoutError:
        raise ServerTrouble("the server took too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    """Where the server listens, once it says so."""
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        async for line in process.stdout:
            told = json.loads(line)
            if told.get("event") == "listening":
                return str(told["address"])
    raise ServerTrouble("the server ended before it listened")
