"""The states of blocks that one execution reaches: its own, and those of others in the same run."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from flowstate_server.errors import AmbiguousBlockNameError, BlockStateUnavailableError
from flowstate_server.flows.block import Block, name_without_pass
from flowstate_server.flows.local.block_memory import BlockMemory
from flowstate_server.flows.local.drawn_values import drawn_values
from flowstate_server.programs.run_context import RunContext
from flowstate_server.programs.threads import DaemonThreads

_threads = DaemonThreads("flowstate-factories", limit=2)  # so many may never come back


class StatesAround:
    """One execution of a block, and the one that runs it."""

    __slots__ = ("_block", "_ended", "_memory", "_parent", "_path")

    def __init__(self, block: Block[Any, Any], path: tuple[str, ...], parent: StatesAround | None) -> None:
        self._block = block
        self._path = path
        self._parent = parent
        self._memory: BlockMemory | None = None
        self._ended: dict[str, BlockMemory] = {}
        """By name, the newest of the executions that this one ran and that have ended."""

    async def open(self, run: RunContext) -> None:
        """
        Raises:
            RuntimeError: a factory of the block's state failed, or took too long.
        """
        schema = self._block.state_schema
        if schema is not None:
            drawn = await drawn_values(schema, schema.drawn, _threads) if schema.drawn else {}
            self._memory = BlockMemory(run, self._block, self._path, schema, drawn)

    def end(self, *, cancelled: bool) -> None:
        memory = self._memory
        if memory is not None:
            memory.close()
            if self._parent is not None and not cancelled:
                self._parent._ended[self._name] = memory

    def own(self, model: type[BaseModel]) -> BlockMemory:
        self._require(self._block.states.own, model, "state")
        return self._found(self, model, "state")

    def of_parent(self, model: type[BaseModel]) -> BlockMemory:
        self._require(self._block.states.parent, model, "parent_state")
        return self._found(self._parent, model, "parent_state")

    def of_sequencer(self, model: type[BaseModel]) -> BlockMemory:
        self._require(self._block.states.sequencer, model, "sequencer_state")
        around = self._parent
        while around is not None and (around._memory is None or around._block.kind != "sequencer"):
            around = around._parent
        return self._found(around, model, "sequencer_state")

    def target(self, name: str, model: type[BaseModel]) -> BlockMemory | None:
        """
        Raises:
            BlockStateUnavailableError: the block does not declare it.
            AmbiguousBlockNameError: several executions around this one are called so.
        """
        self._require(self._block.states.targets.get(name), model, f'targets["{name}"]')
        around = self._parent
        found = None if around is None else around._ended.get(name)
        if found is None:
            named: list[StatesAround] = []
            while around is not None:
                if around._name == name:
                    named.append(around)
                around = around._parent
            if len(named) > 1:
                raise AmbiguousBlockNameError(str(self), name)
            found = named[0]._memory if named else None
        return found if found is not None and _is(found.model, model) else None

    def _require(self, declared: type[BaseModel] | None, model: type[BaseModel], what: str) -> None:
        if not _is(declared, model):
            raise BlockStateUnavailableError(f"{self} does not declare {what} as {model.__name__}")

    def _found(self, owner: StatesAround | None, model: type[BaseModel], what: str) -> BlockMemory:
        memory = None if owner is None else owner._memory
        if memory is None or not _is(memory.model, model):
            place = "/".join(self._path)
            raise BlockStateUnavailableError(f"{self} has no {what} of {model.__name__} at {place}")
        return memory

    @property
    def _name(self) -> str:
        return name_without_pass(self._path[-1])

    def __str__(self) -> str:
        return f'{self._block.kind} "{self._block.name}"'


def _is(model: type[BaseModel] | None, asked: type[BaseModel]) -> bool:
    return model is not None and issubclass(model, asked)
