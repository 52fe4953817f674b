"""The least of a context: it runs blocks, and there is no state."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from flowstate_server.flows import ReadingContext
from flowstate_server.flows.block import Block
from flowstate_server.model.payloads import Payload

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class PlainRunner:
    """Runs blocks as the engine does: validated input, then the block. ``ran`` has their names, in order."""

    ending = False

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.told: list[Payload] = []
        self.reading = cast(ReadingContext, self)

    async def execute(self, block: Block[I, O], value: I, /) -> O:
        return await self.execution(self.next_name(block.name), block, value)

    def next_name(self, name: str, /) -> str:
        return name

    async def execution(self, name: str, block: Block[I, O], value: I, /) -> O:
        self.ran.append(name)
        return await block.execute(block.validate_input(value), self)

    def rescued(self, failure: BaseException, /) -> None: ...

    def claim_call_id(self, call_id: str, /) -> bool:
        return True

    def tell(self, payload: Payload, /) -> None:
        self.told.append(payload)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a block without state asked its context for {name}")
