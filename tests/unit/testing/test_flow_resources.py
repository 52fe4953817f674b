"""Resources ahead of a run in a test, and after it."""

from __future__ import annotations

import traceback

import pytest
from pydantic import BaseModel

from flowstate_server.errors import StateValidationError
from flowstate_server.flows import Context, action, define_flow, handler, resource, resources
from flowstate_server.testing import FlowTester, ResourceBefore, run_flow


class Plan(BaseModel):
    title: str = "untitled"
    steps: int = 0


plan = resource("plan", state=Plan)
theirs = resource("plan", state=Plan, scope="user")
files = resources("files/*", state=Plan)
charter = resource("charter", state=Plan, scope="org")


@handler(resources=[plan, theirs, files, charter])
async def step(name: str, ctx: Context) -> str:
    if name:
        await (await ctx.resource(files).get_or_create(name)).inc_state(steps=1)
    await ctx.resource(theirs).inc_state(steps=1)
    it = ctx.resource(plan)
    await it.inc_state(steps=1)
    return f"{it.state.title}: {await it.read_text()}"


@handler(resources=[plan])
async def pour(size: int, ctx: Context) -> None:
    await ctx.resource(plan).write(bytes(size))


flow = define_flow("f", actions={"step": action(block=step), "pour": action(block=pour)}, resources=[charter])


async def test_a_run_begins_with_what_is_given_and_tells_what_is_left() -> None:
    run = await run_flow(
        flow,
        "step",
        "files/a",
        org_id="acme",
        resources={
            plan: ResourceBefore(state=Plan(title="Trip"), content="pack", media_type="text/plain"),
            "files/a": {"steps": 4},
            "files/b": b"bytes",
            "charter": Plan(title="Ours"),
        },
    )
    assert run.output == "Trip: pack"
    left = run.resources
    assert list(left) == ["files/a", "files/b", "plan", "charter"]
    assert left["plan"].state_as(Plan).steps == 1
    assert (left["plan"].version, left["plan"].text, left["plan"].media_type) == (2, "pack", "text/plain")
    assert left["plan"].stored == {"title": "Trip", "steps": 1}
    assert (left["files/a"].state.steps, left["files/b"].content) == (5, b"bytes")
    assert left["charter"].state.title == "Ours"
    assert repr(left["plan"]) == "<session resource plan, version 2>"
    with pytest.raises(ValueError, match="the state of plan is Plan, not BaseModel"):
        left["plan"].state_as(BaseModel)


async def test_they_stay_for_the_next_run() -> None:
    async with FlowTester(flow) as tester:
        await tester.run("step", "", session_id="s", resources={theirs: Plan(steps=10)})
        run = await tester.run("step", "files/a", session_id="s")
    assert run.resources["plan"].state.steps == 2
    assert run.resources["files/a"].state.steps == 1


async def test_content_that_is_long_is_none() -> None:
    for size in (1024 * 1024, 1024 * 1024 + 1):
        left = (await run_flow(flow, "pour", size)).resources["plan"]
        assert left.content == (bytes(size) if size == 1024 * 1024 else None)


async def test_what_can_not_be_given() -> None:
    for given, problem in (
        ({"zzz": ""}, r'declares no resource zzz; there are "charter", '),
        ({"plam": ""}, r'declares no resource plam; did you mean "plan"\?'),
        ({"plan": ""}, "declares plan in several scopes: give the declaration"),
        ({charter: ""}, "an org's resources need the org: give org_id, too"),
    ):
        with pytest.raises(ValueError, match=problem) as refused:
            await run_flow(flow, "step", "", resources=given)
        _, *hidden = traceback.walk_tb(refused.value.__traceback__)
        assert all(frame.f_locals.get("__tracebackhide__") for frame, _ in hidden)
    with pytest.raises(StateValidationError):
        await run_flow(flow, "step", "", resources={plan: {"steps": "many"}})
