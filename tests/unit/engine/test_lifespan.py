"""A lifespan: when it is entered and left, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from flowstate_server.app import create_flowstate
from flowstate_server.engine import lifespan as module
from flowstate_server.engine.engine import Engine
from flowstate_server.engine.lifespan import Lifespan, OpenLifespan
from flowstate_server.errors import LifespanError
from flowstate_server.flows import Context, FlowRegistry, action, define_flow, handler
from flowstate_server.stores.memory.store import MemoryStore
from flowstate_server.testing.server import running_server
from flowstate_server.testing.waiting import soon, until
from tests.support.hostile_flows import KINDS, throw


class Steps(list[str]):
    """What happened, in order."""

    def lifespan(self, given: object = None) -> Lifespan:
        @asynccontextmanager
        async def lifespan() -> AsyncIterator[object]:
            self.append("entered")
            try:
                yield given
            finally:
                self.append("left")

        return lifespan


class Store(MemoryStore):
    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.steps = steps

    async def open(self) -> None:
        await super().open()
        self.steps.append("store opened")

    async def close(self) -> None:
        self.steps.append("store closed")
        await super().close()


@pytest.mark.parametrize(
    ("given", "found"), [(None, ()), ("one", ("one",)), (("one", 2), ("one", 2)), ([1], ([1],))]
)
async def test_it_yields_one_thing_or_a_tuple_of_several(given: object, found: tuple[object, ...]) -> None:
    living = OpenLifespan(Steps().lifespan(given))
    assert await living.open() == found
    await living.close()


async def test_an_engine_opens_it_within_its_store_and_closes_it_there() -> None:
    steps = Steps()
    engine = Engine(Store(steps), FlowRegistry(), lifespan=steps.lifespan())
    await engine.open()
    await engine.close()
    assert steps == ["store opened", "entered", "left", "store closed"]


async def test_it_is_left_when_the_last_run_has_ended() -> None:
    steps = Steps()
    begun = asyncio.Event()

    @handler
    async def hold(value: None, ctx: Context) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("ended")

    flow = define_flow("desk", actions={"hold": action(block=hold)})
    app = create_flowstate(flows=[flow], lifespan=steps.lifespan())
    async with running_server(app) as running, running.connect(user="ada") as client:
        await client.flows.dispatch("desk", "hold")
        await soon(begun.wait())
        await running.stop()
    assert steps == ["entered", "ended", "left"]


def failing(error: BaseException, *, late: bool = False) -> Lifespan:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        if not late:
            raise error
        yield
        raise error

    return lifespan


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionError("refused"), "ConnectionError: refused"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (asyncio.CancelledError(), "CancelledError: it cancelled itself"),
        (Mute(), r"Mute: \(its text could not be had: RuntimeError\)"),
        (ExceptionGroup("several", [ValueError("one")]), r"ExceptionGroup: several \(1 sub-exception\)"),
    ],
)
async def test_an_engine_whose_lifespan_fails_does_not_open(error: BaseException, text: str) -> None:
    steps = Steps()
    engine = Engine(Store(steps), FlowRegistry(), lifespan=failing(error))
    with pytest.raises(LifespanError, match=f"The lifespan of the application failed: {text}$") as raised:
        await engine.open()
    assert raised.value.__cause__ is error or isinstance(error, asyncio.CancelledError)
    assert steps == ["store opened", "store closed"]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_f1_whatever_a_lifespan_raises_the_engine_does_not_open_or_is_closed(
    kind: str, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        if not late:
            throw(kind)
        yield
        throw(kind)

    steps = Steps()
    engine = Engine(Store(steps), FlowRegistry(), lifespan=lifespan)
    if late:
        await engine.open()
        await engine.close()
        if not kind.endswith("cancelled"):
            await until(lambda: "the lifespan failed when it was left" in caplog.text)
    else:
        with pytest.raises(LifespanError, match="The lifespan of the application failed"):
            await engine.open()
    assert steps == ["store opened", "store closed"]


async def test_what_makes_no_context_manager_fails_as_well() -> None:
    wrong: Any = object
    with pytest.raises(LifespanError, match=r"TypeError: .*asynchronous context manager"):
        await OpenLifespan(wrong).open()


async def test_it_is_left_when_the_engine_fails_to_open_after_it() -> None:
    steps = Steps()
    looks = 0

    async def refuse(store: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise ValueError("not this store")

    engine = Engine(Store(steps), FlowRegistry(), refuse=refuse, lifespan=steps.lifespan())
    with pytest.raises(ValueError, match="not this store"):
        await engine.open()
    assert steps == ["store opened", "entered", "left", "store closed"]


@pytest.mark.parametrize("error", [RuntimeError("at the end"), SystemExit(1)])
async def test_one_that_fails_when_it_is_left_is_logged(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    steps = Steps()
    engine = Engine(Store(steps), FlowRegistry(), lifespan=failing(error, late=True))
    await engine.open()
    await engine.close()
    await until(lambda: "the lifespan failed when it was left" in caplog.text)
    assert type(error).__name__ in caplog.text
    assert steps[-1] == "store closed"


async def test_one_that_will_not_be_left_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LEAVE_SECONDS", 0.01)
    cancelled = asyncio.Event()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    living = OpenLifespan(lifespan)
    await living.open()
    await living.close()
    assert cancelled.is_set()
    assert "has not ended after 0.01 s" in caplog.text


async def test_one_that_ends_by_itself_is_logged_and_the_engine_serves_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def watch() -> None:
        await lost.wait()
        raise ConnectionError("lost")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            yield

    lost = asyncio.Event()
    living = OpenLifespan(lifespan)
    await living.open()
    lost.set()
    with caplog.at_level(logging.ERROR):
        await until(lambda: "the lifespan ended while its server serves on" in caplog.text)
    assert "ConnectionError: lost" in caplog.text
    await living.close()


async def test_another_task_may_close_it_than_the_one_that_opened_it() -> None:
    ended = False

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        nonlocal ended
        async with asyncio.timeout(20), asyncio.TaskGroup():
            yield
        ended = True

    living = OpenLifespan(lifespan)
    await asyncio.create_task(living.open())
    await asyncio.create_task(living.close())
    assert ended


async def test_who_gives_up_opening_it_cancels_it() -> None:
    steps = Steps()

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
            yield
        finally:
            steps.append("cancelled")

    opening = asyncio.create_task(Engine(Store(steps), FlowRegistry(), lifespan=lifespan).open())
    await until(lambda: steps == ["store opened"])
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert steps == ["store opened", "cancelled", "store closed"]


async def test_one_that_was_never_opened_is_closed_without_effect() -> None:
    def never() -> AbstractAsyncContextManager[object]:
        raise AssertionError("it was made")

    await OpenLifespan(never).close()
