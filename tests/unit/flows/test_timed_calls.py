from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from typing import Any

import pytest

from flowstate_server.flows.timed_calls import TimedCalls
from flowstate_server.programs.stuck_calls import StuckError
from flowstate_server.testing.waiting import until

SHORT = 0.05


def timed(function: Any) -> TimedCalls:
    return TimedCalls(function, "test")


async def test_it_gives_what_the_function_gives_or_raises() -> None:
    async def later(value: int) -> int:
        await asyncio.sleep(0)
        return value

    def broken(value: int) -> int:
        raise LookupError(value)

    async def broken_later(value: int) -> int:
        raise LookupError(value)

    assert await timed(lambda value: value + 1).call(1.0, 1) == 2
    assert await timed(later).call(1.0, 1) == 1
    assert await timed(functools.partial(later)).call(1.0, 1) == 1
    for function in (broken, broken_later):
        with pytest.raises(LookupError):
            await timed(function).call(1.0, 1)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, StopIteration])
async def test_no_error_ends_more_than_the_call(error: type[BaseException]) -> None:
    async def ends(value: int) -> None:
        raise error

    def ends_in_a_thread(value: int) -> None:
        raise error

    for function in (ends, ends_in_a_thread):
        with pytest.raises(BaseException) as raised:
            await timed(function).call(1.0, 1)
        assert raised.value is not None
    await asyncio.sleep(0)


async def test_of_a_function_that_hangs_two_calls_stay_and_no_more_begin() -> None:
    let_go = threading.Event()
    begun = 0

    def hangs() -> str:
        nonlocal begun
        begun += 1
        let_go.wait(30)
        return "back"

    calls = timed(hangs)
    results = await asyncio.gather(*(calls.call(SHORT) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {TimeoutError}
    assert begun == 2
    began = time.monotonic()
    with pytest.raises(StuckError):
        await calls.call(30.0)
    assert time.monotonic() - began < 10.0, "at once"
    let_go.set()

    async def goes_again() -> bool:
        with contextlib.suppress(StuckError):
            return bool(await calls.call(5.0) == "back")
        return False

    await until(goes_again)


async def test_a_coroutine_that_ignores_its_cancellation_counts_too() -> None:
    end = asyncio.Event()

    async def deaf() -> None:
        while not end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()

    calls = timed(deaf)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await calls.call(SHORT)
    with pytest.raises(StuckError):
        await calls.call(SHORT)
    end.set()
    await until(lambda: not calls._deaf)
    await calls.call(5.0)


async def test_a_coroutine_that_ends_when_it_is_cancelled_is_not_stuck() -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    calls = timed(forever)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await calls.call(0.01)
        await until(lambda: not calls._deaf)


async def test_slow_calls_wait_for_each_other_within_their_time() -> None:
    calls = timed(lambda: time.sleep(0.01))
    await asyncio.gather(*(calls.call(5.0) for _ in range(20)))
