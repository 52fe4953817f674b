"""What authors are told who got something wrong: the place, and the way out."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import fields
from decimal import Decimal
from typing import Any, cast

import pytest
from pydantic import BaseModel, ConfigDict

from flowstate_server import errors
from flowstate_server.errors import (
    FlowDefinitionError,
    FlowStateError,
    StateTypeConflictError,
    StateValidationError,
    Violation,
)
from flowstate_server.flows import Context, Session, action, define_flow, handler
from flowstate_server.model.json_values import JsonObject
from flowstate_server.state.apply import apply
from flowstate_server.state.operations import Append, Increment, Operation, PutRecord
from flowstate_server.testing.flow_tester import run_flow
from tests.unit.schemas.pydantic.checks import schema_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Pythons that pydantic 1 is not for
    from pydantic import v1


class State(BaseModel):
    n: int = 0
    maybe: int | None = None
    some: list[int] | None = None
    by_key: dict[str, int] | None = None
    price: Decimal = Decimal(1)
    name: str = ""
    data: bytes = b""


async def told(change: Callable[[Any], Any]) -> str:
    """What a block is told whose operation is refused."""

    @handler(session_state=State)
    async def block(_: None, ctx: Context[State]) -> str:
        with pytest.raises(FlowStateError) as refused:
            await change(ctx.session)
        return str(refused.value)

    run = await run_flow(define_flow("told", actions={"act": action(block=block)}), "act", None)
    return cast(str, run.output)


async def test_u2_a_stored_null_counts_as_a_default_that_is_null_does() -> None:
    @handler(session_state=State)
    async def block(stored: bool, ctx: Context[State]) -> None:
        session = ctx.session
        if stored:
            await session.patch_state(maybe=None, some=None, by_key=None)
        await session.inc_state(maybe=2)
        await session.push_state("some", 1)
        await session.set_state_record("by_key", "k", 1)
        assert (session.state.maybe, session.state.some, session.state.by_key) == (2, [1], {"k": 1})

    flow = define_flow("nulls", actions={"act": action(block=block)})
    for stored in (True, False):
        await run_flow(flow, "act", stored)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.inc_state(price=Decimal("0.1")), "/price: .*not Decimal: .*atomic_state"),
        (lambda s: s.inc_state(n="1"), "/n: .*not str"),
        (lambda s: s.inc_state(name=1), "/name: a string can't be incremented: it is declared str[.]$"),
        (lambda s: s.inc_state([1]), "must be a dict of fields, or fields as keywords, not list"),
        (lambda s: s.push_state("name", 1), "/name: a string can't be appended to: it is declared str[.]$"),
        (
            lambda s: s.set_state_record("name", "k", 1),
            "/name: a string has no members: it is declared str[.]$",
        ),
        (lambda s: s.patch_state(State()), "must be a dict of fields, or fields as keywords, not State"),
    ],
)
async def test_u2_conflicts_name_the_way_out(change: Callable[[Any], Any], message: str) -> None:
    assert re.match(message, await told(change))


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Increment(("maybe",), 1), "/maybe: a string can't be incremented: set it to a number first"),
        (Append(("some",), (1,)), "/some: a string can't be appended to: set it to a list first"),
        (PutRecord(("by_key",), "k", 1), "/by_key: a string has no members: set it to an object first"),
        (Increment(("by_key", "k"), 1), "/by_key: a string has no members: set it to an object first"),
    ],
)
def test_u2_what_another_deploy_stored_can_be_mended(operation: Operation, message: str) -> None:
    stored: JsonObject = {"maybe": "1", "some": "1", "by_key": "1"}
    with pytest.raises(StateTypeConflictError, match=message):
        apply(stored, [operation], schema_of(State))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.set_state(State(data=b"\xff")), "/data: bytes are not JSON.*base64"),
        (lambda s: s.patch_state(n=bytearray(b"\xff")), "/n: bytes are not JSON"),
        (lambda s: s.set_state([1]), "must be an object of fields, not list"),
        (lambda s: s.atomic_state(lambda state: None), "atomic_state: .*must return what changes"),
        (lambda s: s.atomic_state(lambda state: "c4nary"), "atomic_state: .*not str"),
        (lambda s: s.atomic_state(3), "atomic_state: takes a function, not int"),
    ],
)
async def test_u3_messages_name_the_field_or_the_operation(
    change: Callable[[Any], Any], message: str
) -> None:
    assert re.match(message, await told(change))


def raisable() -> list[FlowStateError]:
    """One of each error that has a path, without one."""
    made: list[FlowStateError] = [
        StateValidationError("session", (Violation("", "rule", "problem"),), stored=stored)
        for stored in (True, False)
    ]
    made.append(errors.ValidationFailedError((Violation("", "rule", "problem"),)))
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, FlowStateError) and kind is not FlowStateError:
            parameters = {field.name for field in fields(cast(Any, kind))}
            if "path" in parameters and parameters <= {"path", "problem"}:
                made.append(kind(**{name: "" if name == "path" else "problem" for name in parameters}))
    return made


@pytest.mark.parametrize("error", raisable(), ids=lambda error: type(error).__name__)
def test_u3_an_error_of_the_whole_has_no_empty_path_in_its_message(error: FlowStateError) -> None:
    text = str(error)
    assert not text.startswith((":", " "))
    assert ": :" not in text
    assert "  " not in text


class Old(v1.BaseModel):
    x: int = 1


with warnings.catch_warnings():
    warnings.simplefilter("ignore")

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        old: dict[str, Old | None] = {}


@handler
async def nothing(value: None, ctx: Context) -> None: ...


def taking(kind: Any) -> Callable[[], object]:
    async def block(value: Any, ctx: Any) -> None: ...

    block.__annotations__ = {"value": kind, "ctx": Context, "return": None}
    return lambda: define_flow("old", actions={"act": action(block=handler(block))})


def giving(kind: Any) -> Callable[[], object]:
    async def block(value: Any, ctx: Any) -> Any: ...

    block.__annotations__ = {"value": None, "ctx": Context, "return": kind}
    return lambda: define_flow("old", actions={"act": action(block=handler(block))})


@pytest.mark.filterwarnings("ignore:Mixing V1 models")
@pytest.mark.parametrize(
    "declare",
    [
        *(take(kind) for take in (taking, giving) for kind in (Old, list[Old], Old | None, Holder)),
        lambda: Session(state=cast(Any, Old)),
        lambda: handler(user_state=cast(Any, Old)),
        lambda: define_flow("old", actions={"act": action(block=nothing)}, session=Session(state=Holder)),
    ],
)
def test_u4_a_model_of_pydantic_1_is_told_as_such(declare: Callable[[], object]) -> None:
    with pytest.raises(FlowDefinitionError, match=r"\bOld\b.* is a model of pydantic 1: make it one of"):
        declare()
