"""Side chains: who waits for them, and what becomes of their failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowstate_server.flows import (
    ActionError,
    sequencer,
)
from tests.unit.flows.steps.local_run import EventsOnly, executed
from tests.unit.flows.steps.plain_blocks import double, fail, forever, value_of


async def test_side_chains_are_awaited_at_the_end_and_their_failures_go_no_further() -> None:
    run = EventsOnly()
    plan = (
        sequencer("plan").side_chain(fail).side_chain(double).exit_if(lambda value, ctx: True).step(forever)
    )
    assert await executed(plan, 3, run) == 3
    assert run.failed == ["plan/fail"]
    assert sorted(run.outcomes) == [
        ("plan", "completed"),
        ("plan/double", "completed"),
        ("plan/fail", "failed"),
    ]


async def test_a_join_fails_as_the_first_side_chain_if_it_is_to() -> None:
    plan = sequencer("plan").side_chain(double).side_chain(fail).join(fail_on_error=True)
    run = EventsOnly()
    with pytest.raises(ActionError, match="at 3"):
        await executed(plan.step(double), 3, run)
    assert run.failed == ["plan/fail"], "told once"
    assert await executed(plan.rescue(("FAILED", value_of)), 3) == ["ActionError", 3]


async def test_a_join_cancels_what_takes_too_long() -> None:
    plan = sequencer("plan").side_chain(forever).side_chain(double)
    run = EventsOnly()
    assert await executed(plan.join(timeout=0.01).step(double), 3, run) == 6
    assert ("plan/forever", "cancelled") in run.outcomes
    late: Any = plan.join(timeout=0.01, fail_on_error=True)
    with pytest.raises(TimeoutError, match=r"^1 side chain was not done after 0\.01 s"):
        await executed(late, 3)
    assert await executed(late.rescue((TimeoutError, value_of)), 3) == ["TimeoutError", 3]


async def test_side_chains_end_with_a_sequencer_that_fails() -> None:
    run = EventsOnly()
    with pytest.raises(ActionError):
        await executed(sequencer("plan").side_chain(forever).step(fail), 1, run)
    assert ("plan/forever", "cancelled") in run.outcomes
    assert asyncio.all_tasks() == {asyncio.current_task()}
