"""An application with something of everything that commands show."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from pydantic import BaseModel, Field

from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    ActionError,
    ClientView,
    Context,
    ItemKind,
    Org,
    ResourceView,
    Session,
    User,
    View,
    action,
    define_flow,
    handler,
    resource,
)


class Line(BaseModel):
    article: str
    count: int = Field(default=1, ge=1, le=99, description="How many of it.")


class Ask(BaseModel):
    text: str = Field(description="What is asked.")
    lines: list[Line] = []
    urgency: Literal["low", "high"] = "low"
    about: str | None = None
    labels: dict[str, int] = {}


class Ticket(BaseModel):
    asked: int = 0
    mood: str = "calm"
    secret: str = ""
    by_id: dict[str, Line] = {}


class Person(BaseModel):
    visits: int = 0
    credit: float = 0.0


class Team(BaseModel):
    seats: int = 1


class Plan(BaseModel):
    title: str = "untitled"


plan = resource("plan", state=Plan, client=ResourceView(exclude=[], content=True))


@handler(session_state=Ticket, user_state=Person, org_state=Team, resources=[plan])
async def answer(ask: Ask, ctx: Context[Ticket, Person, Team]) -> str:
    await ctx.session.inc_state(asked=1)
    await ctx.user.inc_state(visits=1)
    await ctx.add_item(ItemKind.MESSAGE, ask.text, role="user")
    await ctx.tool_call("search", {"text": ask.text}, call_id="call-1")
    await ctx.tool_output("call-1", {"found": 2})
    text = f"You asked: {ask.text}.\nMore of it follows on a second line, which is too long for a terminal of 80."
    await ctx.add_item(ItemKind.MESSAGE, text, role="assistant")
    await ctx.add_item(ItemKind.MESSAGE, "not for clients", role="system", audiences=())
    return text


@handler
async def wait(seconds: float, ctx: Context[Any]) -> None:
    await asyncio.sleep(seconds)


@handler
async def refuse(why: str, ctx: Context[Any]) -> None:
    raise ActionError("CLOSED", why, details={"opens": 9}, retryable=True)


def _fails(view: View[Ticket]) -> str:
    raise ValueError("no mood")


desk = define_flow(
    "desk",
    description="Answers what people ask.",
    session=Session(
        client=ClientView(
            expose=["asked", "by_id"],
            derived={"greeting": lambda view: f"So {view.state.mood}!", "odd": _fails},
        )
    ),
    user=User(client=ClientView(expose=["visits"])),
    org=Org(client=ClientView(expose=["seats"])),
    actions={
        "answer": action(block=answer, description="Answer a question."),
        "refuse": action(block=refuse),
        "wait": action(block=wait, description="Take as long as it is told."),
    },
)


@handler(user_state=Person)
async def count(value: None, ctx: Context[Any, Person]) -> None:
    await ctx.user.inc_state(visits=1)


diary = define_flow("diary", isolate_user_state=True, actions={"count": action(block=count)})

app = create_flowstate(flows=[desk, diary])
