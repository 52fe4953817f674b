"""Waiting in a test for what happens, rather than for time to pass.

A sleep is too short on a busy machine and too long on all others. These end as soon as what they wait for is there, and
fail after long enough that the machine is no excuse.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which what was waited for counts as never to come."""


async def soon(awaited: Awaitable[T], seconds: float = PATIENCE) -> T:
    """The result of ``awaited``, which is there within ``seconds``.

    Raises:
        TimeoutError: it is not; ``awaited`` was cancelled.
    """
    async with asyncio.timeout(seconds):
        return await awaited


async def until(
    condition: Callable[[], object], seconds: float = PATIENCE, *, every: float = 0.01, what: str = ""
) -> None:
    """Look again and again until a condition holds. For what nothing tells; an event or a future is better awaited.

    ::

        await until(lambda: server.log.count("renewed") > 2)
        await until(lambda: is_known(client, "r1"), what="the request")   # an async function

    Args:
        condition: Called each time. It holds when it returns, or when what it returns can be awaited and gives,
            something true. What it raises ends the waiting.
        seconds: How long to look.
        every: How long to wait between two looks.
        what: What is waited for, for the message when it does not come.

    Raises:
        AssertionError: it did not hold within ``seconds``.
    """
    try:
        async with asyncio.timeout(seconds):
            while not await _value(condition()):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what or condition}") from None


async def _value(found: object) -> object:
    return await found if isawaitable(found) else found
