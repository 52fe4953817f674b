"""A request that waited for its turn starts from what is stored when it begins."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from flowstate_server.flows import Context, action, define_flow, handler, queue, resource
from flowstate_server.testing.server import running_server


class Tally(BaseModel):
    runs: int = 0


async def test_a_queued_request_starts_from_the_resources_of_its_time(store_url: str) -> None:
    going_on = asyncio.Event()
    session_tally = resource("session_tally", state=Tally)
    user_tally = resource("user_tally", state=Tally, scope="user")

    @handler(resources=[session_tally, user_tally])
    async def count(_: None, ctx: Context) -> list[int]:
        found = [ctx.resource(one).state.runs for one in (session_tally, user_tally)]
        await going_on.wait()
        for one in (session_tally, user_tally):
            await ctx.resource(one).inc_state(runs=1)
        return found

    flow = define_flow(kind="tally", actions={"count": action(block=count, concurrency=queue())})
    async with running_server([flow], store=store_url) as server, server.connect(user="ada") as client:
        runs = [await client.flows.dispatch("tally", "count", session_id="s") for _ in range(3)]
        going_on.set()
        assert [await run.result(list[int]) for run in runs] == [[0, 0], [1, 1], [2, 2]]
