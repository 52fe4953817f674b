"""Live delivery: from the moment a block writes or emits to the moment a tail has it, in and across processes."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from benchmarks.result import Figure, Options, Quantity, Result, at_most
from benchmarks.subject import TRUSTED, Subject, subject
from flowstate.v1 import event_service_pb2
from tests.support.postgres_server import PostgresServer

RUNS = 8
MARKS = 60
"""Runs at once, and writes and events of each: together about 200 events a second."""

Delays = dict[str, list[float]]
"""Milliseconds by kind: ``write`` (a state write, its commit included), ``commit`` (the same from its commit on),
``emit`` (an event that waits for company)."""


async def delivery(options: Options) -> Sequence[Result]:
    with tempfile.TemporaryDirectory() as name:
        here, there = await _delays(Path(name), f"sqlite:///{Path(name) / 'bench.db'}")
    with tempfile.TemporaryDirectory() as name, PostgresServer.run(durable=True) as postgres:
        postgres_here, postgres_there = await _delays(Path(name), await postgres.create_database())
    return (
        Figure("delivery, same process", _told(here)),
        Figure("  another process", _told(there)),
        Quantity("commit to another process, p50", median(there["commit"]), "ms", at_most(20.0)),
        Figure("on Postgres, same process", _told(postgres_here)),
        Figure("  another process", _told(postgres_there)),
        Quantity("commit to another on Postgres, p50", median(postgres_there["commit"]), "ms", at_most(5.0)),
        Quantity("commit to another on Postgres, p99", _p99(postgres_there["commit"]), "ms", at_most(25.0)),
    )


async def _delays(folder: Path, url: str) -> tuple[Delays, Delays]:
    """In the process that runs, and in another one on the same store."""
    here: Delays = {"write": [], "commit": [], "emit": []}
    there: Delays = {"write": [], "commit": [], "emit": []}
    async with subject(folder, url) as one, subject(folder, url) as other:
        await asyncio.gather(*(_run(one, other, here, there) for _ in range(RUNS)))
    return here, there


async def _run(one: Subject, other: Subject, here: Delays, there: Delays) -> None:
    (session,) = await one.new_sessions(1)
    request_id = await one.dispatch("mark", {"events": MARKS}, session)
    await asyncio.gather(_tail(one, request_id, here), _tail(other, request_id, there))


async def _tail(server: Subject, request_id: str, delays: Delays) -> None:
    request = event_service_pb2.TailEventsRequest(request_id=request_id)
    arrived = 0
    async for frame in server.events.TailEvents(request, metadata=TRUSTED):
        now = time.monotonic_ns()
        for event in frame.batch.events:
            if event.type == "state_change":
                written = json.loads(event.state_change.changed["/written"].json)
                delays["write"].append((now - written) / 1e6)
                arrived = now
            elif event.type == "custom":
                marked = json.loads(event.custom.data.json)
                delays["emit"].append((now - marked["emitted"]) / 1e6)
                delays["commit"].append((arrived - marked["committed"]) / 1e6)


def _told(delays: Delays) -> str:
    return "; ".join(
        f"{what} p50 {median(found):.1f} ms, p99 {_p99(found):.1f} ms" for what, found in delays.items()
    )


def _p99(found: Sequence[float]) -> float:
    return quantiles(found, n=100)[-1]
