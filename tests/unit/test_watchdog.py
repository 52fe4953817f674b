"""What is over in time never goes off, and what is late does, once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

import pytest
import uvloop

from flowstate_server.testing.waiting import soon
from flowstate_server.watchdog import Watchdog

Ts = TypeVarTuple("Ts")


async def test_what_takes_too_long_is_told_once() -> None:
    expired = asyncio.Queue[None]()
    dog = Watchdog(lambda: expired.put_nowait(None))
    dog.start(0.01)
    await soon(expired.get())
    await asyncio.sleep(0.03)
    assert expired.empty()
    dog.start(0.01)
    await soon(expired.get())
    dog.close()


async def test_what_is_put_off_goes_off_later() -> None:
    loop, expired = asyncio.get_running_loop(), asyncio.Event()
    dog = Watchdog(expired.set)
    began = loop.time()
    for _ in range(4):
        dog.start(0.04)
        await asyncio.sleep(0.01)
    await soon(expired.wait())
    assert loop.time() - began >= 0.07
    dog.close()


async def test_what_is_due_earlier_goes_off_earlier() -> None:
    expired = asyncio.Event()
    dog = Watchdog(expired.set)
    dog.start(60)
    dog.start(0.01)
    await soon(expired.wait())
    dog.close()


@pytest.mark.parametrize("end", [Watchdog.stop, Watchdog.close])
async def test_what_is_over_does_not_go_off(end: object) -> None:
    expired = asyncio.Event()
    dog = Watchdog(expired.set)
    dog.start(0.01)
    assert callable(end)
    end(dog)
    await asyncio.sleep(0.03)
    assert not expired.is_set()
    dog.close()


class _CountedTimers(uvloop.Loop):
    timers = 0

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_later(delay, callback, *args, context=context)


def test_the_last_moment_is_waited_for_not_spun_through() -> None:
    """uvloop rounds less than a millisecond to nothing."""

    async def put_off_by_half_a_millisecond() -> int:
        expired = asyncio.Event()
        dog = Watchdog(expired.set)
        dog.start(0.02)
        dog.start(0.0205)
        await soon(expired.wait())
        dog.close()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, _CountedTimers)
        return loop.timers

    with asyncio.Runner(loop_factory=_CountedTimers) as runner:
        assert runner.run(put_off_by_half_a_millisecond()) < 10
