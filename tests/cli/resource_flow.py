"""An application whose sessions and users have resources."""

from __future__ import annotations

from pydantic import BaseModel

from flowstate_server.app import create_flowstate
from flowstate_server.flows import (
    Context,
    ResourceView,
    action,
    define_flow,
    handler,
    resource,
    resources,
)


class Plan(BaseModel):
    title: str = "untitled"
    secret: str = ""


plan = resource("plan", state=Plan, client=ResourceView(exclude=["secret"], content=True))
files = resources("files/*", state=Plan)
profile = resource("profile", state=Plan, scope="user")


@handler(resources=[plan, files, profile])
async def begin(value: None, ctx: Context) -> None: ...


planner = create_flowstate(flows=[define_flow("planner", actions={"begin": action(block=begin)})])
