"""What is left of a run once it has ended."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.programs.author_code import AT_WORK, BlockWork
from flowstate_server.testing.fixtures import StartServer
from flowstate_server.testing.waiting import until


class Counted(BaseModel):
    count: int = 0


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
async def test_a_run_that_has_ended_goes_without_the_collector_of_cycles(start_server: StartServer) -> None:
    runs: list[weakref.ref[object]] = []

    @handler(session_state=Counted)
    async def turn(value: None, ctx: Context[Counted]) -> str:
        work = AT_WORK.get()
        assert isinstance(work, BlockWork)
        runs.append(weakref.ref(work.run))
        del work
        await ctx.session.inc_state(count=1)
        async with ctx.message() as message:
            await message.write("said")
        return message.text

    server = await start_server(define_flow(kind="chat", actions={"turn": action(block=turn)}))
    async with server.connect(user="ada") as client:
        for _ in range(3):
            await client.flows.call("chat", "turn", None)
    await until(lambda: [run() for run in runs] == [None] * 3)
