"""The flows that clients in other languages are tried against: the example of an assistant, and one that is awkward."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from examples.assistant import assistant, lifespan
from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    ActionError,
    ClientView,
    Context,
    ResourceView,
    Session,
    action,
    define_flow,
    handler,
    resource,
)


class Counted(BaseModel):
    count: int = 0
    largest: int = 0
    share: float = 0.0
    secret: str = "unseen"


class Words(BaseModel):
    words: int
    pause: float = 0.0
    """Seconds between one word and the next."""


class Large(BaseModel):
    number: int


report = resource("report", client=ResourceView(expose=[], content=True))


@handler(session_state=Counted, resources=[report])
async def speak(say: Words, ctx: Context[Counted]) -> str:
    async with ctx.message() as message:
        for number in range(say.words):
            await message.write(f"word-{number} ")
            await asyncio.sleep(say.pause)
    await ctx.session.inc_state(count=1)
    return message.text


@handler(session_state=Counted)
async def keep(large: Large, ctx: Context[Counted]) -> Large:
    await ctx.session.patch_state(largest=large.number)
    return large


@handler
async def fail(said: Words, ctx: Context) -> None:
    raise ActionError("NO_LUCK", "this never works", details={"number": 2**53 + 1})


probe = define_flow(
    kind="probe",
    session=Session(client=ClientView(expose=["count", "largest", "share"])),
    actions={"speak": action(block=speak), "keep": action(block=keep), "fail": action(block=fail)},
)

flowstate = create_flowstate(flows=[assistant, probe], lifespan=lifespan)
