"""Routers: blocks that run one of several others, which a function chooses."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from flowstate_server.errors import ExplainedActionError, FlowDefinitionError, ValidationFailedError
from flowstate_server.flows.block import Block, I_contra, O_co, RunsBlocks, check_block
from flowstate_server.flows.block_states import BlockStates, declared_states
from flowstate_server.flows.names import check_name
from flowstate_server.flows.resources import AnyResource
from flowstate_server.flows.steps.fitting import check_function, joined
from flowstate_server.flows.steps.step import AnyReading, answer_of
from flowstate_server.flows.value_type import check_fits
from flowstate_server.model.nearest import did_you_mean
from flowstate_server.model.payloads import RouterDecided

I = TypeVar("I")  # noqa: E741
O = TypeVar("O")  # noqa: E741

_logger = logging.getLogger(__name__)

ROUTE_UNKNOWN = "ROUTE_UNKNOWN"


class Router(Block[I_contra, O_co], Generic[I_contra, O_co]):
    """A block that runs one of its ``routes``; made by :func:`router`."""

    kind = "router"

    def __init__(
        self,
        name: str,
        routes: Mapping[str, Block[Any, Any]],
        choose: Callable[[Any, AnyReading], str | Awaitable[str]],
        *,
        input_type: Any,
        states: BlockStates,
        resources: Iterable[AnyResource] = (),
    ) -> None:
        where = f'router "{name}"'
        if not isinstance(routes, Mapping) or not routes:
            raise FlowDefinitionError(f"{where} needs at least one route, as a dict of blocks by name")
        known: dict[str, Block[Any, Any]] = {}
        for route, block in routes.items():
            check_name(f"a route of {where}", route)
            check_block(block, f'route "{route}" of {where}')
            if known.setdefault(block.name, block) is not block:
                problem = f'has two blocks under the name "{block.name}": give one of them another name'
                raise FlowDefinitionError(f"{where} {problem}")
        check_function(choose, f"choose of {where}", "(value, context)")
        taken = next(iter(routes.values())).input_type if input_type is ... else input_type
        for route, block in routes.items():
            check_fits(taken, block.input_type, f'route "{route}" of {where}', "the router")
        output_type = joined(*(block.output_type for block in routes.values()))
        super().__init__(name, input_type=taken, output_type=output_type, states=states, resources=resources)
        self.routes = MappingProxyType(dict(routes))
        self._choose = choose

    @property
    def children(self) -> tuple[Block[Any, Any], ...]:
        return tuple(self.routes.values())

    async def execute(self, value: I_contra, ctx: RunsBlocks, /) -> O_co:
        route = await answer_of(self._choose, value, ctx.reading)
        block = self.routes.get(route) if isinstance(route, str) else None
        if block is None:
            raise self._unknown(route)
        ctx.tell(RouterDecided(route))
        output = await ctx.execution(ctx.next_name(block.name), block, value)
        try:
            result: O_co = self.validate_output(output)
        except ValidationFailedError as error:
            raise TypeError(f'router "{self.name}" did not end with what it gives: {error}') from None
        return result

    def _unknown(self, route: object) -> ExplainedActionError:
        there_are = ", ".join(self.routes)
        explanation = f'router "{self.name}" chose {self._told(route)}; there are: {there_are}'
        _logger.error("%s", explanation)
        return ExplainedActionError(
            ROUTE_UNKNOWN, "a router chose a route that it does not have", explanation=explanation
        )

    def _told(self, route: object) -> str:
        """Without the value, which may be what a user wrote: this is logged."""
        if not isinstance(route, str):
            return f"a value of type {type(route).__name__}"
        return f"a text of length {len(route)}{did_you_mean(route, self.routes)}"


def router(
    name: str,
    routes: Mapping[str, Block[I, O]],
    /,
    *,
    choose: Callable[[I, AnyReading], str | Awaitable[str]],
    input: Any = ...,
    state: type[BaseModel] | None = None,
    parent_state: type[BaseModel] | None = None,
    sequencer_state: type[BaseModel] | None = None,
    targets: Mapping[str, type[BaseModel]] | None = None,
    resources: Iterable[AnyResource] = (),
) -> Router[I, O]:
    """A block that runs the one of ``routes`` that ``choose`` names::

        answer = router("answer", {"refund": refund, "other": reply}, choose=lambda ask, ctx: ctx.session.state.topic)

    ``choose`` gets the value and a :class:`ReadingContext`; it is sync or async, and runs on the event loop. The event
    ``router.decided`` tells what it said. A name that is none of the routes fails the router with ``ROUTE_UNKNOWN``.

    The router takes what its first route does; say ``input`` where another one takes less. ``state`` and the others are
    as with ``@handler``; what it declares ``choose`` may read, its ``resources`` too.

    Raises:
        FlowDefinitionError: the name can't be one, there is no route, or one takes another type.
    """
    states = declared_states(
        f'router "{name}"',
        state=state,
        parent_state=parent_state,
        sequencer_state=sequencer_state,
        targets=targets,
    )
    return Router(name, routes, choose, input_type=input, states=states, resources=resources)
