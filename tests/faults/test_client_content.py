"""Large content through the Python client: it goes on through cuts and a kill, and little of it is in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import tracemalloc
from pathlib import Path

from flowstate_client import FlowStateClient
from flowstate_client.testing import FaultProxy
from flowstate_server.testing.server_process import ServerProcess, server_process
from tests.support.ports import lasting_port

MIB = 1024 * 1024
SIZE = 64 * MIB
CUTS = 5
MOST_HELD = 16 * MIB
"""Of client and proxy together, in objects of Python; the content has four times as much."""


def written(path: Path, seed: str) -> str:
    chance, digest = random.Random(seed), hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE // MIB):
            piece = chance.randbytes(MIB)
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def test_files_go_over_through_cuts_and_a_kill(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    digest = written(source, "content")
    where = {"store": f"sqlite:///{tmp_path / 'planner.db'}", "listen": f"127.0.0.1:{lasting_port()}"}
    restarts: list[asyncio.Task[ServerProcess]] = []
    async with (
        server_process("tests.cli.resource_flow:planner", **where, lease=2.0, log_level="warning") as server,
        FaultProxy(server.target) as proxy,
        FlowStateClient.connect(proxy.target, user="ada", plane="trusted") as client,
    ):
        session = await client.sessions.create("planner", user_id="ada")
        plan = client.resources.session(session.id)["plan"]

        places = set(random.Random("cuts").sample(range(1, 63), 2 * CUTS))

        def progress(done: int, total: int | None) -> None:
            assert total == SIZE
            if done == 20 * MIB and not restarts:
                server.kill()
                restarts.append(asyncio.create_task(server.start()))
            elif done // MIB in places:
                places.discard(done // MIB)
                proxy.cut()

        tracemalloc.start()
        try:
            write = await plan.upload(source, media_type="application/zip", progress=progress)
            await asyncio.gather(*restarts)
            places |= set(random.Random("more cuts").sample(range(1, 63), CUTS))
            record = await plan.download(target, progress=progress)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert restarts
        assert not places
        assert (record.sha256, record.size, record.version) == (digest, SIZE, write.version)
        assert digest_of(target) == digest
        assert most < MOST_HELD
        assert sorted(os.listdir(tmp_path))[-2:] == ["source", "target"]
