"""Assertions that several subjects share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

E = TypeVar("E", bound=BaseException)


@contextmanager
def refused(error: type[E], **fields: Any) -> Iterator[None]:
    """The block raises exactly ``error``, with these attributes."""
    try:
        yield
    except Exception as raised:
        wrong = {
            name: found for name, value in fields.items() if (found := getattr(raised, name, None)) != value
        }
        if type(raised) is error and not wrong:
            return
        raise AssertionError(
            f"{error.__name__} with {fields} was expected, not {raised!r} {wrong or ''}"
        ) from raised
    raise AssertionError(f"{error.__name__} was expected, nothing was raised")


async def settled(*calls: Awaitable[Any]) -> list[Any]:
    """The results or exceptions of calls made at once."""
    return await asyncio.gather(*calls, return_exceptions=True)
