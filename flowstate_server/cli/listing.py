"""Lists: a table on a terminal, a line of JSON for each in a pipe, and a word on stderr if there are more."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from flowstate_server.cli.problem import note
from flowstate_server.cli.tables import Column, show_table
from flowstate_server.cli.telling import on_terminal, say_json

if TYPE_CHECKING:
    from flowstate_client import AsyncPager

T = TypeVar("T")

# Two screens of a terminal. Chosen.
DEFAULT_LIMIT = 50
# What the server gives in one answer at most.
_LARGEST_PAGE = 500

Limit = Annotated[int, typer.Option(min=0, metavar="NUMBER", help="How many to list at most; 0: all.")]


def page_size(limit: int) -> int:
    """The size of pages that brings ``limit`` and one more, which tells whether there are more, in few calls."""
    return min(limit + 1, _LARGEST_PAGE) if limit else _LARGEST_PAGE


async def show_list(
    pager: AsyncPager[T],
    limit: int,
    *,
    columns: Sequence[Column],
    row: Callable[[T], Sequence[str]],
    told: Callable[[T], Any] = lambda one: one,
    turned: bool = False,
) -> None:
    """List what the pager has, as ``row`` says on a terminal and ``told`` in a pipe. ``turned``: the other way round,
    once ``limit`` are there."""
    kept: list[T] = []
    count = 0
    more = False
    keeps = turned or on_terminal()
    async with aclosing(_each(pager)) as each:
        async for one in each:
            if limit and count == limit:
                more = True
                break
            count += 1
            if keeps:
                kept.append(one)
            else:
                say_json(told(one))
    if turned:
        kept.reverse()
    if not on_terminal():
        for one in kept:
            say_json(told(one))
    elif kept:
        show_table(columns, map(row, kept))
    if more:
        note(f"there are more than {limit}; --limit 0 lists all of them")
    elif on_terminal() and not count:
        note("there are none")


async def _each(pager: AsyncPager[T]) -> AsyncGenerator[T, None]:
    async for one in pager:
        yield one
