"""Waiting ends as soon as it can, and says what did not come."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from flowstate_server.testing.waiting import soon, until


async def test_until_looks_as_often_as_it_takes_and_no_more() -> None:
    looks = count(1)
    await until(lambda: next(looks) == 3, every=0.0)
    assert next(looks) == 4


async def test_until_awaits_what_a_condition_gives() -> None:
    answers = [False, False, True]

    async def holds() -> bool:
        await asyncio.sleep(0)
        return answers.pop(0)

    await until(holds, every=0.0)
    assert answers == []


async def test_until_says_what_did_not_come() -> None:
    with pytest.raises(AssertionError, match=r"^not within 0\.02 s: the end$"):
        await until(lambda: False, 0.02, what="the end")


async def test_until_waits_no_longer_for_a_condition_that_hangs() -> None:
    with pytest.raises(AssertionError, match="not within"):
        await until(asyncio.Event().wait, 0.02)


async def test_what_a_condition_raises_ends_the_waiting() -> None:
    with pytest.raises(ZeroDivisionError):
        await until(lambda: 1 / 0)


async def test_soon_gives_the_result_or_cancels() -> None:
    assert await soon(asyncio.sleep(0, "there")) == "there"
    never = asyncio.ensure_future(asyncio.Event().wait())
    with pytest.raises(TimeoutError):
        await soon(never, 0.01)
    assert never.cancelled()
