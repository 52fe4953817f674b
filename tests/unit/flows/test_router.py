from __future__ import annotations

import asyncio
from typing import Any, Union

import pytest
from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import (
    ActionError,
    Context,
    ReadingContext,
    Router,
    action,
    define_flow,
    handler,
    router,
    sequencer,
)
from flowstate_server.model.events import EventType
from flowstate_server.model.items import INTERNAL
from flowstate_server.testing import run_flow
from tests.unit.flows.steps.local_run import EventsOnly, executed


class Ask(BaseModel):
    topic: str


class Mode(BaseModel):
    mode: str = "long"


@handler(session_state=Mode)
async def long_answer(ask: Ask, ctx: Context[Mode]) -> str:
    return f"about {ask.topic}, at length"


@handler
async def short_answer(ask: Ask, ctx: Context) -> int:
    return len(ask.topic)


def by_mode(ask: Ask, ctx: ReadingContext[Mode]) -> str:
    return ctx.session.state.mode


answer = router("answer", {"long": long_answer, "short": short_answer}, choose=by_mode)


async def test_runs_the_route_that_is_chosen_and_tells_so() -> None:
    flow = define_flow("test", actions={"go": action(block=sequencer("plan").step(answer))})
    for mode, output, ran in (("long", "about tea, at length", "long_answer"), ("short", 3, "short_answer")):
        run = await run_flow(flow, "go", {"topic": "tea"}, session_state={"mode": mode})
        assert run.output == output
        (told,) = [event for event in run.events if event.type is EventType.ROUTER_DECIDED]
        assert (told.payload.route, told.block_path) == (mode, ("plan", "answer"))
        assert (told.audiences, told.record.event.transient) == (INTERNAL, False)
        paths = [event.block_path for event in run.events if event.type is EventType.BLOCK_STARTED]
        assert paths == [("plan",), ("plan", "answer"), ("plan", "answer", ran)]


def test_is_a_block_that_says_what_it_takes_and_gives() -> None:
    assert isinstance(answer, Router)
    assert (answer.kind, answer.name, repr(answer)) == ("router", "answer", "<router answer>")
    assert (answer.input_type, answer.output_type) == (Ask, Union[str, int])  # noqa: UP007
    assert answer.children == (long_answer, short_answer)
    assert dict(answer.routes) == {"long": long_answer, "short": short_answer}


@pytest.mark.parametrize(
    ("route", "chose"),
    [
        ("other", "a text of length 5"),
        ("lang", 'a text of length 4; did you mean "long"?'),
        ("", "a text of length 0"),
        (None, "a value of type NoneType"),
        (5, "a value of type int"),
        (["long"], "a value of type list"),
    ],
    ids=str,
)
async def test_a_route_that_it_does_not_have_fails_it(
    route: Any, chose: str, caplog: pytest.LogCaptureFixture
) -> None:
    lost = router("answer", {"long": long_answer, "brief": short_answer}, choose=lambda ask, ctx: route)
    run = EventsOnly()
    with pytest.raises(ActionError) as failed:
        await executed(lost, Ask(topic="tea"), run)
    assert failed.value.code == "ROUTE_UNKNOWN"
    assert failed.value.message == "a router chose a route that it does not have"
    explanation = f'router "answer" chose {chose}; there are: long, brief'
    assert str(failed.value.__cause__) == f"a router chose a route that it does not have: {explanation}"
    assert explanation in caplog.text
    assert run.failed == ["answer"]


async def test_choose_may_be_async_and_what_it_raises_fails_the_router() -> None:
    async def slowly(ask: Ask, ctx: ReadingContext) -> str:
        await asyncio.sleep(0)
        if ask.topic == "exit":
            raise SystemExit
        return "short"

    slow = router("answer", {"short": short_answer}, choose=slowly)
    assert await executed(slow, Ask(topic="tea")) == 3
    with pytest.raises(RuntimeError, match="SystemExit"):
        await executed(slow, Ask(topic="exit"))


async def test_says_its_input_where_the_routes_take_less() -> None:
    @handler
    async def anything(value: Any, ctx: Context) -> str:
        return type(value).__name__

    wide = router("wide", {"any": anything, "long": long_answer}, choose=lambda ask, ctx: "any", input=Ask)
    assert wide.input_type is Ask
    assert await executed(wide, Ask(topic="x")) == "Ask"


@handler(name="long_answer")
async def other(ask: Ask, ctx: Context) -> str:
    return ""


@handler
async def counts(number: int, ctx: Context) -> int:
    return number


@pytest.mark.parametrize(
    ("routes", "choose", "problem"),
    [
        ({}, by_mode, 'router "answer" needs at least one route'),
        ([long_answer], by_mode, "needs at least one route, as a dict"),
        ({"a": len}, by_mode, 'route "a" of router "answer" needs a block, not the function len'),
        ({"": long_answer}, by_mode, 'a route of router "answer" must not be empty'),
        ({"a": long_answer, "b": other}, by_mode, 'has two blocks under the name "long_answer"'),
        ({"a": long_answer, "b": counts}, by_mode, 'route "b" .* takes int, but is given Ask by the router'),
        ({"a": long_answer}, "a", "choose of .* must be a function of \\(value, context\\), not str"),
        ({"a": long_answer}, lambda ask: "a", "choose of .* must be a function"),
    ],
)
def test_refuses_what_cannot_run(routes: Any, choose: Any, problem: str) -> None:
    with pytest.raises(FlowDefinitionError, match=problem):
        router("answer", routes, choose=choose)


async def test_a_test_is_told_which_routes_there_are() -> None:
    lost = router("answer", {"long": long_answer}, choose=lambda ask, ctx: "b")
    run = await run_flow(
        define_flow("test", actions={"go": action(block=lost)}), "go", {"topic": ""}, check=False
    )
    assert run.failure is not None
    assert run.failure.message == "a router chose a route that it does not have"
    assert str(run.exception).endswith(': router "answer" chose a text of length 1; there are: long')
    assert (
        'ROUTE_UNKNOWN: a router chose a route that it does not have: router "answer" chose a text of length 1'
        in run.described()
    )
