"""A support assistant of a tea shop: it looks up orders, opens a ticket, and knows how its user likes to be spoken to.

Serve it with ``flowstate serve examples.assistant:flowstate``, or see ``python -m examples.assistant.demo``. Rules
answer, unless ``MODEL_URL``, ``MODEL_NAME`` and ``MODEL_KEY`` name a model that speaks the chat completions of OpenAI.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, get_args

from pydantic import BaseModel

from examples.assistant.rules import ModelByRules
from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    ActionError,
    ClientView,
    Context,
    ReadingContext,
    ResourceView,
    Turns,
    User,
    action,
    define_flow,
    generator,
    handler,
    queue,
    resource,
    router,
    sequencer,
)
from flowstate_server.language_models import LanguageModel

ORDERS = {7: "on its way, it arrives on Friday", 8: "delivered on Monday"}
Tone = Literal["plain", "cheerful", "formal"]
TONES: tuple[Tone, ...] = get_args(Tone)


class Say(BaseModel):
    message: str


class Order(BaseModel):
    number: int


class Problem(BaseModel):
    order: int
    text: str


class Ticket(BaseModel):
    order: int = 0
    problems: list[str] = []
    status: Literal["none", "open"] = "none"
    note_to_staff: str = ""


class Preferences(BaseModel):
    tone: Tone = "plain"


ticket = resource("ticket", state=Ticket, client=ResourceView(exclude=["note_to_staff"], live=True))


def tone_of(message: str) -> Tone | None:
    return next((tone for tone in TONES if f"be {tone}" in message.lower()), None)


@handler
async def remember(say: Say, ctx: Context) -> None:
    await ctx.add_item("message", say.message, role="user")


@handler
async def prefer(say: Say, ctx: Context[None, Preferences]) -> str:
    tone = tone_of(say.message) or "plain"
    await ctx.user.patch_state(tone=tone)
    async with ctx.message() as message:
        await message.write(f"As you like: {tone} it is.")
    return message.text


@handler
async def order_status(order: Order, ctx: Context) -> str:
    """Tells where an order is."""
    if order.number not in ORDERS:
        raise ActionError("NO_SUCH_ORDER", "there is no order of that number")
    return ORDERS[order.number]


@handler(resources=[ticket])
async def open_ticket(problem: Problem, ctx: Context) -> str:
    """Opens a ticket about an order, or adds a problem to the one that is open."""
    it = ctx.resource(ticket)
    async with it.batch() as batch:
        batch.patch_state(
            order=problem.order, status="open", note_to_staff=f"by {ctx.session.identity.user_id}"
        )
        batch.push_state("problems", problem.text)
        batch.write(f"# Order {problem.order}\n\n{problem.text}\n", media_type="text/markdown")
    return "a colleague looks at it today"


def instructions(say: Say, ctx: Context[None, Preferences]) -> str:
    return (
        f"You help the customers of a tea shop, in a {ctx.user.state.tone} tone and in one or two sentences. "
        "Look orders up before you speak of them, and open a ticket when something is wrong with one."
    )


def wish(say: Say, ctx: ReadingContext) -> str:
    return "prefer" if tone_of(say.message) else "help"


support = generator("support", prompt=instructions, history=Turns(20), tools=[order_status, open_ticket])
desk = router("desk", {"prefer": prefer, "help": support}, choose=wish)

assistant = define_flow(
    kind="assistant",
    description="Support of a tea shop.",
    user=User(client=ClientView(expose=["tone"])),
    actions={
        "say": action(
            input=Say,
            block=sequencer("say").tap(remember).step(desk),
            concurrency=queue(),  # what a user says while an answer is on its way is answered next
            description="Say something.",
        )
    },
)


@asynccontextmanager
async def lifespan() -> AsyncIterator[LanguageModel]:
    if url := os.environ.get("MODEL_URL"):
        from flowstate_server.language_models.pydantic_ai import openai_compatible

        name, key = os.environ["MODEL_NAME"], os.environ["MODEL_KEY"]
        async with openai_compatible(name, base_url=url, api_key=key) as model:
            yield model
    else:
        yield ModelByRules()


flowstate = create_flowstate(flows=[assistant], lifespan=lifespan)
