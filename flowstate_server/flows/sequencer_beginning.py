"""The beginning of a sequencer: a name, until its first step says what it takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from pydantic import BaseModel

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows.block import Block, check_block
from flowstate_server.flows.block_states import BlockStates, declared_states
from flowstate_server.flows.names import check_name
from flowstate_server.flows.resources import AnyResource, check_resources
from flowstate_server.flows.sequencer import Sequencer
from flowstate_server.flows.steps.fitting import check_pairs, why_empty
from flowstate_server.flows.steps.step import When

T = TypeVar("T")
U = TypeVar("U")


class EmptySequencer:
    """A sequencer that has only a name yet. Not a block: it becomes one with its first step, whose block says what it
    takes. What has no block (``map``, ``exit_if``, ...) can't be first, unless ``input`` is said.
    """

    def __init__(self, name: str, states: BlockStates, resources: Iterable[AnyResource]) -> None:
        self.name = check_name("a sequencer's name", name)
        self._states = states
        self._resources = check_resources(resources, f'sequencer "{name}"')

    @property
    def why_not_a_block(self) -> str:
        return why_empty(self.name)

    def step(self, block: Block[T, U], /, *, name: str | None = None) -> Sequencer[T, U]:
        """Begin with ``block``."""
        return self._begin(block).step(block, name=name)

    def step_if(
        self, when: When[T], block: Block[T, U], /, *, name: str | None = None
    ) -> Sequencer[T, T | U]:
        """Begin with ``block`` if ``when`` holds, else go on with what was put in."""
        return self._begin(block).step_if(when, block, name=name)

    def tap(self, block: Block[T, Any], /, *, name: str | None = None) -> Sequencer[T, T]:
        """Begin with ``block`` and go on with what was put in."""
        return self._begin(block).tap(block, name=name)

    def tap_if(self, when: When[T], block: Block[T, Any], /, *, name: str | None = None) -> Sequencer[T, T]:
        """Begin with ``block`` if ``when`` holds, and go on with what was put in."""
        return self._begin(block).tap_if(when, block, name=name)

    @overload
    def parallel(
        self,
        blocks: Mapping[str, Block[T, U]],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> Sequencer[T, dict[str, U]]: ...

    @overload
    def parallel(
        self,
        blocks: Mapping[str, Block[T, Any]],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> Sequencer[T, dict[str, Any]]: ...

    def parallel(
        self,
        blocks: Mapping[str, Block[T, Any]],
        /,
        *,
        max_concurrency: int | None = None,
        name: str | None = None,
    ) -> Sequencer[T, dict[str, Any]]:
        """Begin with all ``blocks`` side by side."""
        first = next(iter(blocks.values()), None) if isinstance(blocks, Mapping) else None
        if first is None:
            problem = "needs at least one block to run, as a dict by name"
            raise FlowDefinitionError(f'step 1 of sequencer "{self.name}" {problem}')
        return self._begin(first).parallel(blocks, max_concurrency=max_concurrency, name=name)

    def for_each(
        self, block: Block[T, U], /, *, max_concurrency: int | None = 1, name: str | None = None
    ) -> Sequencer[list[T], list[U]]:
        """Begin with ``block`` for each element of what is put in."""
        element: Any = check_block(block, self._where).input_type
        begun: Sequencer[list[T], list[T]] = self._taking(list[element])
        return begun.for_each(block, max_concurrency=max_concurrency, name=name)

    @overload
    def branch(self, *ways: tuple[When[T], Block[T, U]], name: str | None = None) -> Sequencer[T, T | U]: ...

    @overload
    def branch(
        self, *ways: tuple[When[T], Block[T, U]], otherwise: Block[T, U], name: str | None = None
    ) -> Sequencer[T, U]: ...

    def branch(
        self,
        *ways: tuple[When[T], Block[T, Any]],
        otherwise: Block[T, Any] | None = None,
        name: str | None = None,
    ) -> Sequencer[T, Any]:
        """Begin with the block of the first of ``ways`` that holds, else ``otherwise``; without that go on with what
        was put in. What is taken is what the first block takes."""
        check_pairs(ways, self._where, "(when, block)")
        begun: Any = self._begin(ways[0][1])
        made: Sequencer[T, Any] = begun.branch(*ways, otherwise=otherwise, name=name)
        return made

    def do_while(
        self,
        block: Block[T, T],
        when: When[T],
        /,
        *,
        max_iterations: int = 100,
        name: str | None = None,
    ) -> Sequencer[T, T]:
        """Begin with ``block``, again and again while ``when`` holds for its output."""
        return self._begin(block).do_while(block, when, max_iterations=max_iterations, name=name)

    def do_until(
        self,
        block: Block[T, T],
        when: When[T],
        /,
        *,
        max_iterations: int = 100,
        name: str | None = None,
    ) -> Sequencer[T, T]:
        """Begin with ``block``, again and again until ``when`` holds for its output."""
        return self._begin(block).do_until(block, when, max_iterations=max_iterations, name=name)

    def side_chain(self, block: Block[T, Any], /) -> Sequencer[T, T]:
        """Begin by starting ``block`` and go on with what was put in."""
        return self._begin(block).side_chain(block)

    if not TYPE_CHECKING:  # which finds it by itself

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or not hasattr(Sequencer, name):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            problem = f'say what it takes, sequencer("{self.name}", input=...), or begin with a block'
            raise FlowDefinitionError(f"{self._where}, {name}: {problem}")

    @property
    def _where(self) -> str:
        return f'step 1 of sequencer "{self.name}"'

    def _begin(self, block: Block[T, Any]) -> Sequencer[T, T]:
        return self._taking(check_block(block, self._where).input_type)

    def _taking(self, input_type: Any) -> Sequencer[Any, Any]:
        return Sequencer(
            self.name,
            input_type=input_type,
            output_type=input_type,
            states=self._states,
            resources=self._resources,
        )


@overload
def sequencer(
    name: str,
    /,
    *,
    state: type[BaseModel] | None = None,
    parent_state: type[BaseModel] | None = None,
    sequencer_state: type[BaseModel] | None = None,
    targets: Mapping[str, type[BaseModel]] | None = None,
    resources: Iterable[AnyResource] = (),
) -> EmptySequencer: ...


@overload
def sequencer(
    name: str,
    /,
    *,
    input: type[T],
    state: type[BaseModel] | None = None,
    parent_state: type[BaseModel] | None = None,
    sequencer_state: type[BaseModel] | None = None,
    targets: Mapping[str, type[BaseModel]] | None = None,
    resources: Iterable[AnyResource] = (),
) -> Sequencer[T, T]: ...


def sequencer(
    name: str,
    /,
    *,
    input: Any = ...,
    state: type[BaseModel] | None = None,
    parent_state: type[BaseModel] | None = None,
    sequencer_state: type[BaseModel] | None = None,
    targets: Mapping[str, type[BaseModel]] | None = None,
    resources: Iterable[AnyResource] = (),
) -> EmptySequencer | Sequencer[Any, Any]:
    """Begin a sequencer: ``sequencer("say").tap(count).step(reply)``.

    The type of its input is that of its first block; say ``input`` where the first block takes a wider type than the
    next (``sequencer("say", input=Say).tap(log_anything).step(reply)``), or where the first step has no block.

    ``state`` is a model of the state of one execution of the sequencer, which the blocks in it reach by
    ``ctx.parent_state`` and ``ctx.sequencer_state``; the others, and
    ``resources``, are what its own functions read, as with ``@handler``.

    Raises:
        FlowDefinitionError: the name is empty, too long or has control characters. An empty sequencer is refused
            where it is used.
    """
    states = declared_states(
        f'sequencer "{name}"',
        state=state,
        parent_state=parent_state,
        sequencer_state=sequencer_state,
        targets=targets,
    )
    if input is ...:
        return EmptySequencer(name, states, resources)
    return Sequencer(name, input_type=input, output_type=input, states=states, resources=resources)
