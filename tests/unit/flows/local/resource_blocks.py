"""Resources to declare, and blocks that work on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from pydantic import BaseModel, Field

from flowstate_server.flows import (
    Context,
    action,
    define_flow,
    handler,
    resource,
    resources,
)
from flowstate_server.model.scopes import ScopeKind
from tests.support.kept_resources import KeptResources, ResourcesRun


class Artifact(BaseModel):
    title: str = Field("untitled", max_length=20)
    revision: int = 0
    tags: list[str] = []
    owner: str


artifact = resource("artifact", state=Artifact)
files = resources("files/*", state=Artifact)
charter = resource("charter", state=Artifact, scope="org")
logo = resource("logo")

Work = Callable[[Context], Awaitable[object]]


async def run(
    work: Work, kept: ResourcesRun | None = None, declared: Sequence[Any] = (artifact, files)
) -> Any:
    @handler(resources=declared)
    async def act(value: None, ctx: Context) -> object:
        return await work(ctx)

    flow = define_flow("f", actions={"act": action(block=act)})
    given = kept or ResourcesRun(flow.described.resources)
    return await flow.program.execute("act", None, cast(Any, given))


def kept(declared: Sequence[Any] = (artifact, files)) -> tuple[ResourcesRun, KeptResources]:
    made = ResourcesRun([one.described for one in declared])
    return made, made.resources[ScopeKind.SESSION]


async def ran(block: Any, kept: ResourcesRun | None = None) -> Any:
    flow = define_flow("f", actions={"act": action(block=block)})
    given = kept or ResourcesRun(flow.described.resources)
    return await flow.program.execute("act", None, cast(Any, given))
