"""What takes long to read is read beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Bytes. Dense JSON of this size takes 50 ms, and up to 300 ms where it is refused; handing it over takes 0.1 ms.
READ_AT_ONCE = 256 * 1024
# One, so that the loop shares the interpreter with no more than one reader.
_reader = ThreadPoolExecutor(1, "flowstate-large-messages")


async def read_aside(size: int, decode: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``decode(...)`` of so many bytes: on a thread of its own where they are many, one after another.

    Raises what ``decode`` does, which sees nothing of the call's context.
    """
    if size <= READ_AT_ONCE:
        return decode(*args, **kwargs)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_reader, lambda: decode(*args, **kwargs))
