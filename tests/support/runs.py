"""Runs that wait until they are told to end."""

from __future__ import annotations

import asyncio
from typing import Any

from flowstate_client import CustomEvent, FlowStateClient, RunHandle

SECONDS = 20.0


async def holding(client: FlowStateClient, action: str = "hold", value: Any = None, **call: Any) -> RunHandle:
    """A run of ``hold`` (or ``cling``) whose block has begun to wait."""
    run = await client.flows.dispatch("ledger", action, value or {}, **call)
    async with asyncio.timeout(SECONDS), run.events() as events:
        async for event in events:
            if isinstance(event, CustomEvent) and event.name == "holding":
                return run
    raise AssertionError("the run ended before it held")
