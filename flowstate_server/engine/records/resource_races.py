"""Calls about resources that are tried again when what they went by has changed under them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flowstate_server.errors import SessionNotFoundError, StoreUnavailableError
from flowstate_server.stores.contract.blob_writes import BlobUnavailable
from flowstate_server.stores.contract.resource_writes import ResourceMoved
from flowstate_server.stores.contract.writes import SessionChanged

T = TypeVar("T")

# Attempts. Most are lost to others who make a resource in a full collection, of which the oldest gives way.
RACES = 20
# Seconds between two, at most.
PAUSE = 0.02


async def settled(attempt: Callable[[], Awaitable[T]], changed: Callable[[], None]) -> T:
    """What ``attempt`` gives once nothing has moved meanwhile. ``changed`` is called when the session is another one.

    Raises:
        StoreUnavailableError: that never came.
    """
    for number in range(RACES):
        try:
            return await attempt()
        except SessionNotFoundError:
            changed()
            raise
        except SessionChanged:
            changed()
        except (ResourceMoved, BlobUnavailable):
            await asyncio.sleep(random.uniform(0, PAUSE) * bool(number))
    raise StoreUnavailableError
