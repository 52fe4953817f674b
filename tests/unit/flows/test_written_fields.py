"""Fields that handlers name in operations are checked when the block is built, as far as it has a model."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from pydantic import BaseModel, Field

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import Context, Session, action, define_flow, handler
from tests.unit.flows.tickets import Function, Tickets, built


def line_of(function: Function, marker: str) -> int:
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    first: int = function.__code__.co_firstlineno
    return next(at for at, line in enumerate(lines, 1) if at >= first and marker in line)


async def patched(_: None, ctx: Context) -> None:
    await ctx.session.patch_state(openedd=1)


async def patched_by_dict(_: None, ctx: Context) -> None:
    await ctx.session.patch_state({"opened": 1, "openedd": 1})


async def patched_beside_others(_: None, ctx: Context) -> None:
    fields = {"opened": 1}
    await ctx.session.patch_state({**fields, "openedd": 1}, **fields)


async def increased(_: None, ctx: Context) -> None:
    await ctx.session.inc_state(openedd=1)


async def set_whole(_: None, ctx: Context) -> None:
    await ctx.session.set_state({"openedd": 1})


async def unset(_: None, ctx: Context) -> None:
    await ctx.session.unset_state("opened", "openedd")


async def read(_: None, ctx: Context) -> None:
    ctx.session.get("openedd")


async def swapped(_: None, ctx: Context) -> None:
    await ctx.session.atomic_state(lambda state: {"openedd": state.opened})


async def at_a_version(_: None, ctx: Context) -> None:
    await ctx.session.at(3).patch_state(openedd=1)


async def in_a_batch(_: None, ctx: Context) -> None:
    async with ctx.session.batch() as batch:
        batch.inc_state(opened=1)
        batch.patch_state(openedd=1)


async def in_the_second_batch(_: None, ctx: Context) -> None:
    async with ctx.session.batch() as batch:
        batch.inc_state(opened=1)
    async with ctx.session.batch() as batch:
        batch.patch_state(dict(openedd=1))  # noqa: C408


async def by_another_name(_: None, ctx: Context) -> None:
    session = ctx.session
    writer = session.at(3)
    await writer.patch_state(openedd=1)


async def in_a_nested_function(_: None, ctx: Context) -> None:
    async def later() -> None:
        await ctx.session.patch_state(openedd=1)

    await later()


def in_a_thread(_: None, ctx: Context) -> None:
    ctx.run(
        ctx.session.patch_state(
            opened=1,
            openedd=1,
        )
    )


async def beside_text(_: None, ctx: Context) -> None:
    await ctx.session.patch_state(
        title="""
at the margin""",
        openedd=1,
    )


class Methods:
    async def method(self, _: None, ctx: Context) -> None:
        await ctx.session.patch_state(openedd=1)

    @staticmethod
    async def static(_: None, ctx: Context) -> None:
        await ctx.session.patch_state(openedd=1)


def traced(function: Function) -> Function:
    @functools.wraps(function)
    async def wrapper(value: None, ctx: Context) -> Any:
        return await function(value, ctx)

    return wrapper


@traced
async def decorated(_: None, ctx: Context) -> None:
    await ctx.session.patch_state(openedd=1)


UNKNOWN: list[Function] = [
    patched,
    patched_by_dict,
    patched_beside_others,
    increased,
    set_whole,
    unset,
    read,
    swapped,
    at_a_version,
    in_a_batch,
    in_the_second_batch,
    by_another_name,
    in_a_nested_function,
    in_a_thread,
    beside_text,
    Methods().method,
    Methods.static,
]


@pytest.mark.parametrize("function", UNKNOWN, ids=lambda function: function.__qualname__)
def test_untyped_where_it_hurts_an_unknown_field_is_told_with_its_line(function: Function) -> None:
    with pytest.raises(FlowDefinitionError) as refused:
        built(function)

    text = str(refused.value)
    assert f'handler "open", {__file__}:{line_of(function, "openedd")}: ctx.session.' in text
    assert 'names "openedd", but Tickets has no such field; did you mean "opened"?' in text


class Prefs(BaseModel):
    tone: str = ""


def test_a_model_in_the_wrong_place_of_the_context_is_told_with_the_order() -> None:
    async def swapped(_: None, ctx: Context[Prefs, Tickets]) -> None:
        await ctx.session.inc_state(opened=1)  # type: ignore[flowstate-field]

    with pytest.raises(FlowDefinitionError) as refused:
        handler(swapped)
    order = "in Context[...] the order is session, user, org, request"
    assert f"Tickets, given for the user, has it: {order}" in str(refused.value)
    with pytest.raises(FlowDefinitionError) as refused:
        handler(session_state=Tickets, user_state=Prefs)(swapped)  # type: ignore[arg-type]
    assert f"session_state=Tickets, but its context has Prefs there: {order}" in str(refused.value)


def test_the_source_of_a_wrapped_function_is_looked_at() -> None:
    with pytest.raises(FlowDefinitionError, match='names "openedd"'):
        built(decorated)


def test_every_scope_is_looked_at() -> None:
    async def user(_: None, ctx: Context) -> None:
        await ctx.user.push_state("tag", "a")

    async def org(_: None, ctx: Context[Any, Any, Tickets]) -> None:
        if ctx.org is not None:
            await ctx.org.patch_state(nothing=1)  # type: ignore[flowstate-field]

    async def request(_: None, ctx: Context[Any, Any, Any, Tickets]) -> None:
        await ctx.request.set_state_record("tikets", "a", 1)  # type: ignore[flowstate-field]

    with pytest.raises(
        FlowDefinitionError, match=r'ctx\.user\.push_state names "tag", .* did you mean "tags"'
    ):
        built(user)
    with pytest.raises(
        FlowDefinitionError, match=r'ctx\.org\.patch_state names "nothing", but Tickets has no such'
    ):
        handler(org)
    with pytest.raises(FlowDefinitionError, match=r'names "tikets", .* did you mean "tickets"'):
        handler(request)


async def what_there_is(_: None, ctx: Context) -> None:
    await ctx.session.patch_state(opened=1, title="a")
    await ctx.session.inc_state(opened=1, ratio=0.5, coded=1, loose=1)
    await ctx.session.push_state("tags", "a")
    await ctx.session.push_state("seen", 1)
    await ctx.session.push_state("either", 1)
    await ctx.session.push_state("loose", 1)
    await ctx.session.push_state("coded", 1)
    await ctx.session.set_state_record("tickets", "a", 1)
    await ctx.session.set_state_record("profile", "name", "a")
    await ctx.session.set_state_record("either", "a", 1)


async def names_from_elsewhere(_: None, ctx: Context, /) -> None:
    name, fields = "openedd", {"openedd": 1}
    await ctx.session.push_state(name, 1)
    await ctx.session.patch_state(fields)
    await ctx.session.patch_state(**fields)
    await ctx.session.patch_state({name: 1, f"{name}s": 1})
    await ctx.session.unset_state(*fields)


async def another_context(_: None, ctx: Context) -> None:
    ctx = make_another(ctx)
    await ctx.session.patch_state(openedd=1)


async def another_context_inside(_: None, ctx: Context) -> None:
    async def inner(ctx: Context) -> None:
        await ctx.session.patch_state(openedd=1)

    await inner(make_another(ctx))


async def another_context_in_a_lambda(_: None, ctx: Context) -> None:
    later: Any = lambda ctx: ctx.session.patch_state(openedd=1)  # noqa: E731
    await later(make_another(ctx))


async def a_loop_over_handles(_: None, ctx: Context) -> None:
    session = ctx.session
    await session.patch_state(opened=1)
    for session in (make_another(ctx).session,):
        await session.patch_state(openedd=1)


async def batches_of_two_scopes(_: None, ctx: Context) -> None:
    async with ctx.request.batch() as batch:
        batch.patch_state(openedd=1)
    async with ctx.session.batch() as batch:
        batch.patch_state(opened=1)


async def itself(_: None, ctx: Context) -> None:
    session = ctx.session
    session = session.at(1)  # type: ignore[assignment]
    session = other = make_another(session)
    await session.patch_state(openedd=1)
    await other.patch_state(openedd=1)


async def something_else(_: None, ctx: Context) -> None:
    other = make_another(ctx)
    await other.session.patch_state(openedd=1)
    await ctx.dependency(Methods).patch_state(openedd=1)  # type: ignore[attr-defined]
    await ctx.session.items.patch_state(openedd=1)  # type: ignore[attr-defined]
    await ctx.session.batch().patch_state(openedd=1)  # type: ignore[attr-defined]
    await patch_state(openedd=1)


session: Any = None
patch_state: Any = None
make_another: Any = None


async def a_global_beside_a_local(_: None, ctx: Context) -> None:
    async def inner() -> None:
        session = ctx.session
        await session.patch_state(opened=1)

    await inner()
    await session.patch_state(openedd=1)


@pytest.mark.parametrize(
    "function",
    [
        what_there_is,
        names_from_elsewhere,
        another_context,
        another_context_inside,
        another_context_in_a_lambda,
        a_loop_over_handles,
        batches_of_two_scopes,
        itself,
        something_else,
        a_global_beside_a_local,
    ],
    ids=lambda function: function.__name__,
)
def test_no_false_alarm(function: Function) -> None:
    assert built(function).name == "open"


SOURCE = """
async def openedd(_: None, ctx: Context) -> None:
    await ctx.session.patch_state(openedd=1)
"""


def test_without_source_nothing_is_said() -> None:
    names: dict[str, Any] = {"Context": Context}
    exec(SOURCE, names)
    assert built(names["openedd"]).name == "open"


def test_source_that_is_another_one_says_nothing(tmp_path: Any) -> None:
    file = tmp_path / "flow.py"
    file.write_text(SOURCE.replace("async def openedd", "async def another"))
    names: dict[str, Any] = {"Context": Context}
    exec(compile(SOURCE, str(file), "exec"), names)
    assert built(names["openedd"]).name == "open"
    file.write_text("async def openedd(_: None, ctx:")
    assert built(names["openedd"]).name == "open"


class Later(BaseModel):
    opened: int = 0
    child: list[Undefined] = Field(default_factory=list)  # type: ignore[name-defined]  # noqa: F821


def test_a_model_that_is_not_complete_is_left_to_the_flow() -> None:
    handler(session_state=Later)(patched)


class Extra(BaseModel):
    openedd: int = 0


def test_in_a_scope_without_a_model_the_fields_are_others() -> None:
    undeclared = handler(name="open", user_state=Tickets)(patched)
    define_flow(kind="f", actions={"a": action(block=undeclared)}, session=Session(state=Extra))
