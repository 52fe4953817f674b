"""What blocks declare of states: what can't be, and what is not there when the block runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import BaseModel

from flowstate_server.errors import (
    BlockStateUnavailableError,
    FlowDefinitionError,
)
from flowstate_server.flows import (
    Block,
    Context,
    action,
    define_flow,
    handler,
    sequencer,
)
from flowstate_server.testing import run_flow
from tests.unit.flows.stateful_blocks import Found, Other, Small, once, search, up


@pytest.mark.parametrize(
    ("asks", "problem"),
    [
        (lambda ctx: ctx.block_state(Small), 'handler "asks" does not declare state as Small'),
        (lambda ctx: ctx.parent_state(Other), 'handler "asks" does not declare parent_state as Other'),
        (lambda ctx: ctx.sequencer_state(Other), "does not declare sequencer_state as Other"),
        (lambda ctx: ctx.target("search", Small), 'does not declare targets\\["search"\\] as Small'),
        (lambda ctx: ctx.target("other", Found), 'does not declare targets\\["other"\\] as Found'),
        (lambda ctx: ctx.parent_state(Small), 'handler "asks" has no parent_state of Small at not/asks'),
        (lambda ctx: ctx.sequencer_state(Small), "has no sequencer_state of Small at not/asks"),
    ],
)
async def test_what_is_not_declared_or_not_there_is_named(
    asks: Callable[[Context], Any], problem: str
) -> None:
    async def ask(_: Any, ctx: Context) -> None:
        asks(ctx)

    asking = handler(name="asks", parent_state=Small, sequencer_state=Small, targets={"search": Found})(ask)
    flow = define_flow(
        "test",
        actions={
            "met": action(block=sequencer("met", input=int, state=Small).tap(search).tap(asking)),
            "not": action(block=sequencer("not").tap(asking)),
        },
    )
    run = await run_flow(flow, "not", check=False)
    assert isinstance(run.exception, BlockStateUnavailableError)
    with pytest.raises(BlockStateUnavailableError, match=problem):
        raise run.exception


def declares(**states: Any) -> Block[Any, Any]:
    async def block(_: Any, ctx: Context) -> None: ...

    return cast(Block[Any, Any], handler(name="block", **states)(block))


@pytest.mark.parametrize(
    ("root", "problem"),
    [
        (declares(parent_state=Small), "declares parent_state=Small, but no block that runs it"),
        (sequencer("plan").step(declares(parent_state=Small)), 'handler "block" declares parent_state=Small'),
        (sequencer("plan", state=Other).step(declares(parent_state=Small)), "declares parent_state=Small"),
        (
            sequencer("plan", state=Small).step(
                sequencer("in", state=Other).step(declares(sequencer_state=Small))
            ),
            "declares sequencer_state=Small, but no sequencer around it",
        ),
        (declares(sequencer_state=Small), "declares sequencer_state=Small"),
        (
            sequencer("plan").step(once).step(declares(targets={"twice": Small})),
            'declares the target "twice"',
        ),
        (
            sequencer("plan").step(once).step(declares(targets={"once": Other})),
            'the target "once" with Other',
        ),
        (
            sequencer("plan")
            .step(sequencer("in", input=object).step(once))
            .step(declares(targets={"once": Small})),
            'the target "once" with Small',
        ),
        (declares(uses=[up]), 'handler "up" declares parent_state=Small'),
    ],
)
def test_a_flow_refuses_what_no_place_in_it_can_meet(root: Any, problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=f'flow "test": .*{problem}'):
        define_flow("test", actions={"go": action(block=root)})


def test_one_place_that_meets_it_is_enough() -> None:
    define_flow(
        "test",
        actions={
            "without": action(block=sequencer("without").step(up)),
            "with": action(block=sequencer("with", state=Small).step(up)),
        },
    )
    deep: Any = sequencer("deep", input=object).step(declares(sequencer_state=Small, targets={"top": Small}))
    for number in range(30):  # each twice: a walk over all places would take for ever
        deep = sequencer(f"level {number}").step(deep).step(deep)
    define_flow("test", actions={"go": action(block=sequencer("top", state=Small, input=object).step(deep))})


@pytest.mark.parametrize(
    ("states", "problem"),
    [
        ({"state": int}, 'handler "block": state takes a pydantic model class, not'),
        ({"parent_state": Small()}, 'handler "block": parent_state takes a pydantic model class'),
        ({"targets": {"a": str}}, 'handler "block": targets\\["a"\\] takes a pydantic model class'),
        ({"targets": {"": Small}}, 'a target of handler "block" must not be empty'),
    ],
)
def test_refuses_what_is_no_model(states: Any, problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        declares(**states)


def test_refuses_a_model_that_can_not_be_state_when_the_flow_is_built() -> None:
    class Odd(BaseModel):
        thing: Callable[[], int]

    with pytest.raises(FlowDefinitionError):
        define_flow("test", actions={"go": action(block=declares(state=Odd))})
