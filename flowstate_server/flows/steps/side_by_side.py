"""Steps that run blocks side by side: ``parallel`` and ``for_each``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from flowstate_server.flows.block import Block
from flowstate_server.flows.steps.step import Progress, Step
from flowstate_server.flows.steps.tasks import run_all

_NO_ELEMENTS = (str, bytes, Mapping, BaseModel)
"""Can be iterated over, and not by what an author would call elements."""


@dataclass(frozen=True, slots=True)
class Parallel(Step):
    branches: tuple[tuple[str, Block[Any, Any]], ...]
    max_concurrency: int | None = None

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        return tuple(block for _, block in self.branches)

    @property
    def executions(self) -> tuple[tuple[str, Block[Any, Any]], ...]:
        return self.branches

    async def run(self, value: Any, progress: Progress, /) -> Any:
        ctx = progress.ctx
        jobs = [partial(ctx.execution, ctx.next_name(name), block, value) for name, block in self.branches]
        outputs = await run_all(jobs, self.max_concurrency)
        return dict(zip([name for name, _ in self.branches], outputs, strict=True))


@dataclass(frozen=True, slots=True)
class ForEach(Step):
    """Numbers go by the order of the elements, whoever ends first."""

    block: Block[Any, Any]
    max_concurrency: int | None = 1

    @property
    def blocks(self) -> tuple[Block[Any, Any], ...]:
        return (self.block,)

    async def run(self, value: Any, progress: Progress, /) -> Any:
        if not isinstance(value, Iterable) or isinstance(value, _NO_ELEMENTS):
            given = type(value).__name__
            raise TypeError(f"for_each({self.block.name}) needs a list of elements, and was given {given}")
        ctx, block = progress.ctx, self.block
        jobs = [partial(ctx.execution, ctx.next_name(block.name), block, element) for element in value]
        return await run_all(jobs, self.max_concurrency)
