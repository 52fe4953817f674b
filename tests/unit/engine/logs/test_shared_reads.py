"""One reading for all who ask for the same at the same time, none of whom gets what was read before it asked."""

from __future__ import annotations

import asyncio

import pytest

from flowstate_server.engine.logs.shared_reads import ANSWERED_AT_ONCE, AT_ONCE, SharedReads
from flowstate_server.errors import StoreUnavailableError


class Readings:
    """Reads what is written at that moment, once it is let go."""

    def __init__(self) -> None:
        self.written = 0
        self.begun: list[str] = []
        self.reading = asyncio.Event()
        self.error: Exception | None = None
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def read(self, key: str) -> tuple[str, int]:
        self.begun.append(key)
        self.reading.set()
        seen = self.written
        await self.let_go.wait()
        if self.error is not None:
            raise self.error
        return key, seen


async def test_those_who_ask_together_are_answered_by_one_reading() -> None:
    readings = Readings()
    shared = SharedReads(readings.read)
    answers = await asyncio.gather(*(shared.read("a") for _ in range(3 * ANSWERED_AT_ONCE)), shared.read("b"))
    assert readings.begun == ["a", "b"]
    assert answers == [("a", 0)] * 3 * ANSWERED_AT_ONCE + [("b", 0)]


async def test_who_comes_while_a_reading_is_under_way_is_answered_by_the_next() -> None:
    readings = Readings()
    readings.let_go.clear()
    shared = SharedReads(readings.read)
    first = asyncio.create_task(shared.read("a"))
    await readings.reading.wait()
    readings.written = 1
    second = asyncio.create_task(shared.read("a"))
    await asyncio.sleep(0)
    readings.let_go.set()
    assert (await first, await second) == (("a", 0), ("a", 1))


async def test_few_readings_are_under_way_at_once() -> None:
    readings = Readings()
    readings.let_go.clear()
    shared = SharedReads(readings.read)
    asked = [asyncio.create_task(shared.read(str(number))) for number in range(10 * AT_ONCE)]
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(readings.begun) == AT_ONCE
    readings.let_go.set()
    assert await asyncio.gather(*asked) == [(str(number), 0) for number in range(10 * AT_ONCE)]


async def test_an_error_is_told_to_all_who_have_asked_and_to_nobody_after_them() -> None:
    readings = Readings()
    readings.error = StoreUnavailableError()
    shared = SharedReads(readings.read)
    answers = await asyncio.gather(*(shared.read("a") for _ in range(3)), return_exceptions=True)
    assert answers == [readings.error] * 3
    readings.error = None
    assert await shared.read("a") == ("a", 0)


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    readings = Readings()
    readings.let_go.clear()
    shared = SharedReads(readings.read)
    leaving, staying = asyncio.create_task(shared.read("a")), asyncio.create_task(shared.read("a"))
    await readings.reading.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    readings.let_go.set()
    assert await staying == ("a", 0)


async def test_nothing_is_read_for_those_who_have_left() -> None:
    readings = Readings()
    shared = SharedReads(readings.read)
    leaving = asyncio.create_task(shared.read("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert readings.begun == []
    assert await shared.read("b") == ("b", 0)


async def test_a_reading_that_is_cancelled_from_inside_leaves_nobody_waiting() -> None:
    async def cancelled(key: str) -> str:
        raise asyncio.CancelledError

    with pytest.raises(StoreUnavailableError):
        await SharedReads(cancelled).read("a")


async def test_who_asks_again_as_soon_as_it_is_answered_is_answered_again() -> None:
    readings = Readings()
    shared = SharedReads(readings.read)
    async with asyncio.timeout(5):
        for _ in range(20):
            await shared.read("a")
    assert len(readings.begun) == 20
