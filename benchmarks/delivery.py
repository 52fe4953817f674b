"""Live delivery: from the moment a block writes or emits to the moment a tail has it, in and across processes."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles

from benchmarks.result import Figure, Options, Result
from benchmarks.subject import TRUSTED, Subject, action_call, subject
from flowstate.v1 import event_service_pb2, flow_service_pb2

RUNS = 8
MARKS = 40

Delays = dict[str, list[float]]
"""Milliseconds by kind: ``write`` (a state write, its commit included), ``emit`` (an event that waits for company)."""


async def delivery(options: Options) -> Sequence[Result]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with subject(folder) as one, subject(folder) as other:
            here: Delays = {"write": [], "emit": []}
            there: Delays = {"write": [], "emit": []}
            await asyncio.gather(*(_run(one, other, here, there) for _ in range(RUNS)))
    return (
        Figure("delivery, same process", _told(here)),
        Figure("delivery, another process", _told(there)),
    )


async def _run(one: Subject, other: Subject, here: Delays, there: Delays) -> None:
    (session,) = await one.new_sessions(1)
    spec = action_call("mark", {"events": MARKS}, session).spec
    reply = await one.flows.DispatchAction(
        flow_service_pb2.DispatchActionRequest(spec=spec), metadata=TRUSTED
    )
    request_id = reply.action_request.request_id
    await asyncio.gather(_tail(one, request_id, here), _tail(other, request_id, there))


async def _tail(server: Subject, request_id: str, delays: Delays) -> None:
    request = event_service_pb2.TailEventsRequest(request_id=request_id)
    async for frame in server.events.TailEvents(request, metadata=TRUSTED):
        now = time.monotonic_ns()
        for event in frame.batch.events:
            if event.type == "state_change":
                written = json.loads(event.state_change.changed["/written"].json)
                delays["write"].append((now - written) / 1e6)
            elif event.type == "custom":
                delays["emit"].append((now - json.loads(event.custom.data.json)["emitted"]) / 1e6)


def _told(delays: Delays) -> str:
    return "; ".join(
        f"{what} p50 {median(found):.1f} ms, p99 {quantiles(found, n=100)[-1]:.1f} ms"
        for what, found in delays.items()
    )
