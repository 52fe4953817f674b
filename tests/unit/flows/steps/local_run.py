"""Runs a block as its program does, on nothing but the event loop: no store, no engine, no time that passes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from flowstate_server.flows import Block, action, define_flow
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.payloads import BlockStarted


class EventsOnly:
    """A run that takes events, and lets blocks be observed."""

    request_id = "req"
    dependencies = ()
    ending = False

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.outcomes: list[tuple[str, str]] = []

    def hold(self, event: Event) -> bool:
        self.events.append(event)
        return False

    async def room(self) -> None:
        await asyncio.sleep(0)

    def observe_block(self, path: tuple[str, ...], *, outcome: str, **told: Any) -> None:
        self.outcomes.append(("/".join(path), outcome))

    def paths(self, kind: EventType) -> list[str]:
        return ["/".join(event.block_path) for event in self.events if event.type is kind]

    @property
    def handlers(self) -> list[str]:
        """The executions of handlers, in the order of their beginnings."""
        return [
            "/".join(event.block_path)
            for event in self.events
            if event.type is EventType.BLOCK_STARTED and BlockStarted.decode(event.payload).kind == "handler"
        ]

    @property
    def failed(self) -> list[str]:
        return self.paths(EventType.BLOCK_FAILED)


async def executed(block: Block[Any, Any], value: Any, run: EventsOnly | None = None) -> Any:
    """What ``block`` gives, or raises, as the block of an action."""
    flow = define_flow("test", actions={"go": action(block=block)})
    return await flow.program.execute("go", value, cast(Any, EventsOnly() if run is None else run))
