"""Operations that a handler names on fields which they can't work on are told when the block is built."""

from __future__ import annotations

import pytest

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import Context
from tests.unit.flows.tickets import Function, built


async def increases_a_dict(_: None, ctx: Context) -> None:
    await ctx.session.inc_state(tickets=1)


async def increases_a_list(_: None, ctx: Context) -> None:
    await ctx.session.inc_state({"tags": 1})


async def increases_a_bool(_: None, ctx: Context) -> None:
    await ctx.session.inc_state(done=1)


async def pushes_to_an_int(_: None, ctx: Context) -> None:
    await ctx.session.push_state("opened", 1)


async def pushes_to_a_dict(_: None, ctx: Context) -> None:
    await ctx.session.push_state("tickets", 1)


async def pushes_to_a_model(_: None, ctx: Context) -> None:
    await ctx.session.push_state("profile", 1)


async def puts_a_record_into_an_int(_: None, ctx: Context) -> None:
    await ctx.session.set_state_record("opened", "a", 1)


async def deletes_a_record_of_a_list(_: None, ctx: Context) -> None:
    await ctx.session.delete_state_record("tags", "a")


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (increases_a_dict, 'inc_state needs a number, but "tickets" of Tickets is dict[str, int]'),
        (increases_a_list, 'inc_state needs a number, but "tags" of Tickets is list[str]'),
        (increases_a_bool, 'inc_state needs a number, but "done" of Tickets is bool'),
        (pushes_to_an_int, 'push_state needs a list, but "opened" of Tickets is int'),
        (pushes_to_a_dict, 'push_state needs a list, but "tickets" of Tickets is dict[str, int]'),
        (pushes_to_a_model, 'push_state needs a list, but "profile" of Tickets is Profile'),
        (puts_a_record_into_an_int, 'set_state_record needs a map, but "opened" of Tickets is int'),
        (deletes_a_record_of_a_list, 'delete_state_record needs a map, but "tags" of Tickets is list[str]'),
    ],
)
def test_untyped_where_it_hurts_an_operation_that_never_fits_is_told(
    function: Function, problem: str
) -> None:
    with pytest.raises(FlowDefinitionError) as refused:
        built(function)
    assert problem in str(refused.value)
