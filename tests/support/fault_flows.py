"""Flows for tests of faults, importable by a server process as ``tests.support.fault_flows:app``.

``work`` does what its input says and can be checked against it; ``persist`` and ``cling`` write down what befell them
in a file, since a server process has no other way to tell a test what a block has seen.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from pydantic import BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.errors import ServiceError
from flowstate_server.flows import (
    Audience,
    ClientView,
    Context,
    ItemKind,
    Session,
    User,
    action,
    define_flow,
    handler,
)

KIND = "faults"


class Counted(BaseModel):
    count: int = 0
    values: list[int] = []


class Balance(BaseModel):
    count: int = 0


class Job(BaseModel):
    """``steps`` pieces of work, ``pause`` seconds after each."""

    number: int
    steps: int = 5
    pause: float = 0.0


class Witness(BaseModel):
    """``path``: the file to write to. ``pause``: seconds between two writes."""

    path: str
    pause: float = 0.05


class Nap(BaseModel):
    seconds: float = 0.0


def text_of(job: Job) -> str:
    """The message that a job streams."""
    return "".join(piece_of(job, step) for step in range(job.steps))


def piece_of(job: Job, step: int) -> str:
    return f"{job.number}/{step} "


@handler(session_state=Counted)
async def work(job: Job, ctx: Context[Counted]) -> int:
    """Streams a message, and beside each piece of it emits a numbered event and counts in the session."""
    async with ctx.message(role="assistant") as message:
        for step in range(job.steps):
            await message.write(piece_of(job, step))
            await ctx.emit("step", step, audience=Audience.CLIENT)
            await ctx.session.inc_state(count=1)
            await asyncio.sleep(job.pause)
    await ctx.add_item(
        ItemKind.TOOL_OUTPUT, {"call_id": f"sum {job.number}", "output": job.number}, name="sum"
    )
    return job.number


@handler(session_state=Counted)
async def persist(witness: Witness, ctx: Context[Counted]) -> None:
    """Writes again and again, cancelled or not, until that is refused, and tells why it was."""
    await ctx.emit("begun", audience=Audience.CLIENT)
    while True:
        try:
            await ctx.session.inc_state(count=1)
            await asyncio.sleep(witness.pause)
        except asyncio.CancelledError:
            continue
        except ServiceError as error:
            _write_down(witness, error.reason)
            raise


@handler(session_state=Counted)
async def cling(witness: Witness, ctx: Context[Counted]) -> str:
    """Ignores every cancellation, for ever."""
    await ctx.emit("begun", audience=Audience.CLIENT)
    while True:
        try:
            await asyncio.sleep(witness.pause)
        except asyncio.CancelledError:
            _write_down(witness, "ignored")


@handler(session_state=Counted)
def cling_in_thread(witness: Witness, ctx: Context[Counted]) -> None:
    """Waits in its thread for ever."""
    ctx.run(ctx.emit("begun", audience=Audience.CLIENT))
    while True:
        time.sleep(witness.pause)


@handler
async def nap(rest: Nap, ctx: Context) -> str:
    await ctx.emit("asleep", audience=Audience.CLIENT)
    await asyncio.sleep(rest.seconds)
    return "rested"


def _write_down(witness: Witness, what: str) -> None:
    with Path(witness.path).open("a") as file:
        file.write(what + "\n")


faults = define_flow(
    kind=KIND,
    session=Session(state=Counted),
    user=User(state=Balance, client=ClientView(expose=["count"])),
    actions={
        "work": action(block=work),
        "persist": action(block=persist),
        "cling": action(block=cling),
        "cling_in_thread": action(block=cling_in_thread),
        "nap": action(block=nap),
    },
)

app = create_flowstate(flows=[faults])
