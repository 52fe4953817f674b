"""What blocks ask of their application's lifespan."""

from __future__ import annotations

from typing import Any

import pytest

from flowstate_server.errors import DependencyNotFoundError
from flowstate_server.flows import Context, action, define_flow, handler
from flowstate_server.flows.dependencies import find_dependency
from flowstate_server.testing import FlowTester, run_flow


class Pool:
    name = "pool"


class SmallPool(Pool):
    name = "small"


class Mailer: ...


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            (),
            "No dependency is a Pool: there are none: give create_flowstate a lifespan, or a test dependencies=",
        ),
        ((Mailer(),), "No dependency is a Pool: the lifespan yields Mailer"),
        ((Pool(), Mailer(), SmallPool()), "No dependency is a Pool: several are one: Pool, SmallPool"),
    ],
)
def test_what_is_not_there_is_named(given: tuple[object, ...], problem: str) -> None:
    with pytest.raises(DependencyNotFoundError) as raised:
        find_dependency(given, Pool)
    assert str(raised.value) == problem


@handler
async def nested(value: None, ctx: Context) -> str:
    return ctx.dependency(Pool).name


@handler(uses=[nested])
async def awaited(value: None, ctx: Context) -> list[Any]:
    return [ctx.dependency(Pool).name, await ctx.execute(nested, None)]


@handler
def in_a_thread(value: None, ctx: Context) -> str:
    return ctx.dependency(Pool).name


flow = define_flow("desk", actions={"awaited": action(block=awaited), "thread": action(block=in_a_thread)})


@pytest.mark.parametrize("given", [SmallPool(), (Mailer(), SmallPool())], ids=["one", "several"])
async def test_blocks_of_every_kind_have_them(given: object) -> None:
    async with FlowTester(flow, dependencies=given) as tester:
        assert (await tester.run("awaited")).output == ["small", "small"]
        assert (await tester.run("thread")).output == "small"


async def test_a_block_that_asks_in_vain_fails() -> None:
    run = await run_flow(flow, "thread", check=False)
    assert isinstance(run.exception, DependencyNotFoundError)
