"""A server whose sessions have content. Apart, for trees without resources have nothing to measure."""

from __future__ import annotations

from typing import Any

from benchmarks.flow import bench_flow
from flowstate_server.app import create_flowstate
from flowstate_server.flows import Context, action, define_flow, handler, resources

CONTENT_KIND = "bench-content"

_files = resources("files/*")


@handler(resources=[_files])
async def count(_: Any, ctx: Context) -> int:
    return await ctx.resource(_files).count()


app = create_flowstate(
    flows=[bench_flow(), define_flow(kind=CONTENT_KIND, actions={"count": action(block=count)})]
)
