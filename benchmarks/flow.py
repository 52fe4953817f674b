"""What the measured server serves. Times in events are ``time.monotonic_ns``, one clock for all processes."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, create_model

from benchmarks.floor import open_floor
from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    Audience,
    Block,
    ClientView,
    Context,
    Flow,
    Session,
    Turns,
    action,
    define_flow,
    handler,
    sequencer,
)

KIND = "bench"
SHOWN_KIND = "bench-shown"
TYPED_KIND = "bench-typed"
WIDE_KIND = "bench-wide"
WIDTH = 200
REPLY = "You said it, and this is what there is to say about it."

_gates: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


class Counted(BaseModel):
    count: int = 0
    counts: dict[str, int] = {}


class Marked(BaseModel):
    written: int = 0


class Shown(Counted):
    title: str = "What there is to say about it"
    mode: str = "chat"


def _known(place: str) -> str:
    if not place:
        raise ValueError("must be a place")
    return place


class Address(BaseModel):
    """A model with three validators in Python, as authors write them."""

    street: Annotated[str, AfterValidator(str.strip)]
    town: Annotated[str, AfterValidator(_known)]
    country: Annotated[str, AfterValidator(str.upper)]


class Typed(BaseModel):
    """The same amount of state as plain integers and as a nested model."""

    first: int = 0
    second: int = 0
    third: int = 0
    address: Address | None = None


class Say(BaseModel):
    text: str


class Many(BaseModel):
    events: int


class Nothing(BaseModel):
    pass


class Gate(BaseModel):
    gate: str


class Speech(Gate, Many):
    """``pause`` is the mean between two events, in seconds."""

    pause: float


@handler(session_state=Counted)
async def turn(say: Say, ctx: Context[Counted]) -> str:
    """One state write, one message."""
    await ctx.session.inc_state(count=1)
    async with ctx.message() as message:
        await message.write(REPLY)
    return message.text


@handler
async def pass_on(say: Say, ctx: Context) -> Say:
    return say


def steps(count: int) -> Block[Say, Say]:
    """A sequencer of trivial steps."""
    plan = sequencer("steps").step(pass_on)
    for _ in range(count - 1):
        plan = plan.step(pass_on)
    return plan


@handler(session_state=Counted)
async def remember(say: Say, ctx: Context[Counted]) -> str:
    """A turn that reads its session's history first."""
    history = await ctx.session.items.history(Turns(10))
    await ctx.session.inc_state(count=1)
    async with ctx.message() as message:
        await message.write(REPLY)
    return str(len(history))


@handler(session_state=Counted)
async def exchange(say: Say, ctx: Context[Counted]) -> None:
    """A turn that keeps what the user said and answers with as much, in pieces as a language model gives them."""
    await ctx.add_item("message", say.text, role="user")
    await ctx.session.inc_state(count=1)
    async with ctx.message() as message:
        for start in range(0, len(say.text), 16):
            await message.write(say.text[start : start + 16])


@handler
async def burst(many: Many, ctx: Context) -> None:
    for number in range(many.events):
        await ctx.emit("step", {"number": number, "text": REPLY}, audience=Audience.CLIENT)


@handler(session_state=Marked)
async def mark(many: Many, ctx: Context[Marked]) -> None:
    """A state write and an event, again and again, each with the moment at which it was made; the event also says when
    the write was committed."""
    for _ in range(many.events):
        await asyncio.sleep(random.uniform(0.02, 0.06))
        await ctx.session.patch_state(written=time.monotonic_ns())
        committed = time.monotonic_ns()
        await asyncio.sleep(random.uniform(0.02, 0.06))
        marked = {"emitted": time.monotonic_ns(), "committed": committed}
        await ctx.emit("mark", marked, audience=Audience.CLIENT)


@handler
async def speak(speech: Speech, ctx: Context) -> None:
    """Events, each with the moment at which it was made, once the gate is open."""
    await _gates[speech.gate].wait()
    for _ in range(speech.events):
        await asyncio.sleep(random.uniform(0.5, 1.5) * speech.pause)
        await ctx.emit("step", {"emitted": time.monotonic_ns(), "text": REPLY}, audience=Audience.CLIENT)


async def _steadily(speech: Speech) -> AsyncIterator[None]:
    """Its moments at their pace, however long what is done at each takes, once the gate is open."""
    await _gates[speech.gate].wait()
    await asyncio.sleep(random.random() * speech.pause)  # runs do not keep step with one another
    began = time.monotonic()
    for number in range(1, speech.events + 1):
        await asyncio.sleep(began + number * speech.pause - time.monotonic())
        yield


@handler
async def stream_tokens(speech: Speech, ctx: Context) -> float:
    """A message in pieces, as a language model gives them, each the moment at which it was made; when it ended."""
    async with ctx.message() as message:
        async for _ in _steadily(speech):
            await message.write(f"{time.monotonic_ns()} ")
    return time.monotonic()


@handler
async def tell_steadily(speech: Speech, ctx: Context) -> float:
    """Events, each with the moment at which it was made; when they ended."""
    async for _ in _steadily(speech):
        await ctx.emit("step", {"emitted": time.monotonic_ns()}, audience=Audience.CLIENT)
    return time.monotonic()


@handler
async def open_gate(gate: Gate, ctx: Context) -> None:
    _gates[gate.gate].set()


@handler
async def floor(nothing: Nothing, ctx: Context) -> int:
    """Opens the floor beside the server, on its event loop; the port."""
    return await open_floor()


def bench_flow() -> Flow:
    return define_flow(
        kind=KIND,
        actions={
            "turn": action(input=Say, block=turn),
            "one-step": action(input=Say, block=steps(1)),
            "ten-steps": action(input=Say, block=steps(10)),
            "remember": action(input=Say, block=remember),
            "exchange": action(input=Say, block=exchange),
            "burst": action(input=Many, block=burst),
            "mark": action(input=Many, block=mark),
            "speak": action(input=Speech, block=speak),
            "tokens": action(input=Speech, block=stream_tokens),
            "steady": action(input=Speech, block=tell_steadily),
            "open-gate": action(input=Gate, block=open_gate),
            "floor": action(input=Nothing, block=floor),
        },
    )


def shown_flow() -> Flow:
    """A flow that shows its clients three fields and one derived from two of them."""
    view = ClientView(
        expose=["title", "mode", "count"],
        derived={"label": lambda view: f"{view.state.mode} {view.state.count}"},
    )
    return define_flow(
        kind=SHOWN_KIND,
        session=Session(state=Shown, client=view),
        actions={"turn": action(input=Say, block=turn)},
    )


def typed_flow() -> Flow:
    return define_flow(
        kind=TYPED_KIND,
        session=Session(state=Typed),
        actions={"turn": action(input=Say, block=turn)},
    )


def wide_flow() -> Flow:
    """A flow with many fields, of all the types that conversations have, which its clients see."""
    types: dict[str, Any] = {
        "text": str,
        "number": int,
        "tags": list[str],
        "counts": dict[str, int],
        "address": Address,
    }
    fields: dict[str, Any] = {}
    for number in range(WIDTH):
        name, of = list(types.items())[number % len(types)]
        fields[f"{name}_{number}"] = (of | None, None)
    return define_flow(
        kind=WIDE_KIND,
        session=Session(state=create_model("Wide", **fields), client=ClientView(expose=list(fields))),
        actions={"turn": action(input=Say, block=turn)},
    )


app = create_flowstate(flows=[bench_flow(), shown_flow(), typed_flow(), wide_flow()])
