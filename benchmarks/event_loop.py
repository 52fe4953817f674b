"""The event loop of both processes: uvloop where it is installed, as ``flowstate serve`` has it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any, TypeVar

T = TypeVar("T")

try:
    import uvloop
except ImportError:
    NAME = "asyncio"
else:
    NAME = f"uvloop {version('uvloop')}"


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work) if NAME == "asyncio" else uvloop.run(work)
