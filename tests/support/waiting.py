"""Waiting for what a test can't be told of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 20.0


async def soon(awaited: Awaitable[T], seconds: float = PATIENCE) -> T:
    """``awaited``, but not for ever."""
    async with asyncio.timeout(seconds):
        return await awaited


async def until(
    condition: Callable[[], object], seconds: float = PATIENCE, *, every: float = 0.01, what: str = ""
) -> None:
    """Look again and again until ``condition()``, or what it awaits, is true."""
    try:
        async with asyncio.timeout(seconds):
            while not await _value(condition()):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(every)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what or condition}") from None


async def _value(found: object) -> object:
    return await found if isawaitable(found) else found
