"""What is over in time never goes off, and what is late does, once."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_server.testing.waiting import soon
from flowstate_server.watchdog import Watchdog


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
