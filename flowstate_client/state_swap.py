"""Read, compute, compare-and-swap, as often as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from flowstate_client.config import ClientConfig
from flowstate_client.errors import AlreadyExists, ConcurrentModificationError, ConflictError
from flowstate_client.models import StateWrite


class Read(Protocol):
    """A record as it was read."""

    @property
    def version(self) -> int: ...

    @property
    def incarnation(self) -> str: ...

    @property
    def state(self) -> Any: ...


R = TypeVar("R", bound=Read)


async def swap(
    config: ClientConfig,
    read: Callable[[], Awaitable[R]],
    change: Callable[[Any], Mapping[str, Any] | None],
    merge: Callable[[R, Mapping[str, Any]], Awaitable[StateWrite]],
) -> StateWrite:
    """``merge`` what ``change`` makes of the state that is read, on the condition that the record is as it was read.

    Raises:
        ConcurrentModificationError: ``config.cas_attempts`` attempts were lost.
    """
    for attempt in range(1, config.cas_attempts + 1):
        record = await read()
        fields = change(record.state)
        if not fields:
            return StateWrite(record.version, changed=False, incarnation=record.incarnation)
        try:
            return await merge(record, fields)
        except (ConflictError, AlreadyExists):
            if attempt < config.cas_attempts:
                await asyncio.sleep(config.backoff.pause(attempt) / 4)
    raise ConcurrentModificationError(config.cas_attempts)
