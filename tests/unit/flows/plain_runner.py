"""The least of a context: it runs blocks, and there is no state."""

from __future__ import annotations

from typing import Any, TypeVar

from flowstate_server.flows.block import Block

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741


class PlainRunner:
    """Runs blocks as the engine does: validated input, then the block. ``ran`` has their names, in order."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def execute(self, block: Block[I, O], value: I, /) -> O:
        self.ran.append(block.name)
        return await block.execute(block.validate_input(value), self)

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a block without state asked its context for {name}")
