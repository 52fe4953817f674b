"""A flow whose actions let one request run at a time, and what must be true of their logs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pydantic import BaseModel

from flowstate_client import ConcurrencyRejected, Event, FlowStateClient
from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    Audience,
    Context,
    Session,
    action,
    allow,
    define_flow,
    handler,
    interrupt,
    queue,
    reject,
)

KIND = "gated"
ENDS = ("request.completed", "request.failed", "request.aborted", "request.interrupted")


class Steps(BaseModel):
    order: list[int] = []


class Step(BaseModel):
    number: int = 0
    pause: float = 0.0


class Inner(BaseModel):
    """``target`` is where the run finds its own server, ``how`` it calls there."""

    target: str
    how: str


@handler(session_state=Steps)
async def take(step: Step, ctx: Context[Steps]) -> int:
    """Tells when it was begun, in the session's state and its own log."""
    await ctx.session.push_state("order", step.number)
    await ctx.emit("begun", step.number, audience=Audience.CLIENT)
    await asyncio.sleep(step.pause)
    return step.number


@handler
async def cling(step: Step, ctx: Context) -> int:
    """Ignores every cancellation until its pause is over."""
    await ctx.emit("begun", step.number, audience=Audience.CLIENT)
    end = time.monotonic() + step.pause
    while (left := end - time.monotonic()) > 0:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(left)
    return step.number


@handler
async def call_inside(inner: Inner, ctx: Context) -> str:
    """Calls in its own session, through the gate that it has, and says what it was told."""
    async with FlowStateClient.connect(inner.target, user="ada") as client:
        try:
            return await _call(client, inner.how, ctx.session.identity.session_id)
        except ConcurrencyRejected as refused:
            return refused.message


async def _call(client: FlowStateClient, how: str, session: str) -> str:
    spec: dict[str, Any] = {"input": {"number": 1}, "session_id": session}
    if how == "call":
        return str(await client.flows.call(KIND, "inner", **spec))
    if how == "stream":
        return str([event.type async for event in client.flows.stream(KIND, "inner", **spec)])
    run = await client.flows.dispatch(KIND, "inner", **spec)
    return str(await run.result()) if how == "result" else "went on"


gated = define_flow(
    kind=KIND,
    session=Session(state=Steps),
    actions={
        "free": action(block=take, concurrency=allow()),
        "queue": action(block=take, concurrency=queue()),
        "reject": action(block=take, concurrency=reject()),
        "interrupt": action(block=take, concurrency=interrupt()),
        "clinging": action(block=cling, concurrency=interrupt()),
        "short": action(block=take, concurrency=queue(limit=2)),
        "impatient": action(block=take, concurrency=queue(timeout=0.3)),
        "patient": action(block=take, concurrency=queue(timeout=timedelta.max)),
        "of_user": action(block=take, concurrency=queue(by="user")),
        "of_number": action(block=take, concurrency=reject(by=lambda step: str(step.number))),
        "long_key": action(block=take, concurrency=reject(by=lambda step: "é\0" * 10_000)),
        "broken_key": action(block=take, concurrency=reject(by=lambda step: step.nothing)),
        "outer": action(block=call_inside, concurrency=queue(group="nested")),
        "inner": action(block=take, concurrency=queue(group="nested")),
        "newest": action(block=take, concurrency=interrupt(group="nested")),
    },
)

app = create_flowstate(flows=[gated])


async def session_log(client: FlowStateClient, session_id: str = "s") -> list[Event]:
    """Every event of the session so far."""
    snapshot = await client.sessions.snapshot(session_id)
    events: list[Event] = []
    if snapshot.cursor.sequence == 0:
        return events
    async with client.sessions.events(session_id) as stream:
        async for event in stream:
            events.append(event)
            if event.session_sequence >= snapshot.cursor.sequence:
                break
    return events


def begun(events: Iterable[Event]) -> list[str]:
    """The requests that began, in order."""
    return [event.request_id for event in events if event.type == "request.in_progress"]


def assert_one_at_a_time(events: Sequence[Event]) -> None:
    """No request began before the one ahead of it had ended, and none began twice, by a log in the order of commits."""
    running = ""
    for event in events:
        if event.type == "request.in_progress":
            assert not running, f"{event.request_id} began while {running} was running"
            running = event.request_id
        elif event.type in ENDS and event.request_id == running:
            running = ""
    assert not [twice for twice, times in Counter(begun(events)).items() if times > 1]
