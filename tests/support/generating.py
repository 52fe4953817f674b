"""Flows with one generator, and tools for it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from flowstate_server.flows import (
    ActionError,
    Context,
    Flow,
    action,
    define_flow,
    handler,
)
from flowstate_server.testing import (
    FlowRun,
    ScriptedModel,
    run_flow,
)


class Say(BaseModel):
    message: str


class Place(BaseModel):
    city: str
    days: int = Field(default=1, le=7)


class Weather(BaseModel):
    sky: str
    degrees: int


class Tone(BaseModel):
    tone: str = "plain"


@handler
async def forecast(place: Place, ctx: Context) -> Weather:
    """The weather at a place."""
    return Weather(sky=f"rain in {place.city}", degrees=place.days)


@handler
async def look_up(question: str, ctx: Context) -> str:
    if question == "secret":
        raise ValueError("canary-tool")
    if question == "stock":
        raise ActionError("OUT_OF_STOCK", "sold out")
    return f"{question}!"


@handler
async def today(_: None, ctx: Context) -> str:
    return "Sunday"


def flow_of(block: Any, **options: Any) -> Flow:
    return define_flow(kind="chat", actions={"say": action(block=block, **options)})


async def ran(block: Any, model: ScriptedModel, value: Any = "hi", **more: Any) -> FlowRun:
    __tracebackhide__ = True
    return await run_flow(flow_of(block), "say", value, dependencies=model, **more)


def kinds(run: FlowRun) -> list[tuple[str, str]]:
    return [(item.kind.value, item.text or item.name) for item in run.items]
