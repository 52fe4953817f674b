from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Any, Literal, cast

import pytest
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from flowstate_server.errors import (
    FlowDefinitionError,
    FlowStateError,
    JsonInvalidError,
    JsonNumberError,
    ValidationFailedError,
)
from flowstate_server.flows import Context, action, handler


class Line(BaseModel):
    text: str
    count: int = Field(default=1, ge=1)


class Order(BaseModel):
    lines: list[Line]
    day: date | None = None
    kind: Literal["small", "large"] = "small"
    names: dict[str, int | bool] = {}


class Receipt(BaseModel):
    total: float = Field(serialization_alias="theTotal")


class Move(BaseModel):
    distance: int


@handler
async def place(order: Order, ctx: Context) -> Receipt:
    return Receipt(total=1)


def test_takes_its_types_from_the_block_unless_told() -> None:
    bare = action(block=place)
    assert (bare.input_type, bare.output_type, bare.block) == (Order, Receipt, place)
    assert (bare.timeout, bare.description, bare.name) == (None, "", "")

    class Express(Order):
        pass

    told = action(input=Express, output=Receipt, block=place, timeout=2, description="Orders")
    assert (told.input_type, told.timeout, told.description) == (Express, 2.0, "Orders")
    assert action(block=place, timeout=timedelta(milliseconds=1500)).timeout == 1.5


def test_naming_makes_another_one() -> None:
    unnamed = action(block=place, timeout=2, description="Orders")
    named = unnamed.named("place")
    assert (named.name, named.block, named.timeout, named.description) == ("place", place, 2.0, "Orders")
    assert unnamed.name == ""
    assert (repr(unnamed), repr(named)) == ("<action (unnamed)>", "<action place>")
    with pytest.raises(FlowDefinitionError, match="an action's name must not be empty"):
        unnamed.named("")


def test_reads_json_strictly() -> None:
    order = action(block=place).validate_input_json(b'{"lines": [{"text": "a"}], "day": "2024-02-29"}')
    assert order == Order(lines=[Line(text="a", count=1)], day=date(2024, 2, 29))


@pytest.mark.parametrize(
    ("text", "path", "rule"),
    [
        (b"{}", "/input/lines", "missing"),
        (b'{"lines": [{"text": "a"}, {"text": "b", "count": "5"}]}', "/input/lines/1/count", "int_type"),
        (b'{"lines": [{"text": "a", "count": 1.0}]}', "/input/lines/0/count", "int_type"),
        (b'{"lines": [{"text": "a", "count": true}]}', "/input/lines/0/count", "int_type"),
        (b'{"lines": [{"text": "a", "count": 0}]}', "/input/lines/0/count", "greater_than_equal"),
        (b'{"lines": [{}]}', "/input/lines/0/text", "missing"),
        (b'{"lines": [], "kind": "secret"}', "/input/kind", "literal_error"),
        (b'{"lines": [], "day": "secret"}', "/input/day", None),
        (b'{"lines": [], "names": {"a/b~c": "secret"}}', "/input/names/a~1b~0c", "int_type"),
        (b'["secret"]', "/input", "model_type"),
        (b"null", "/input", "model_type"),
        (b"secret", "/input", "json_invalid"),
    ],
)
def test_says_where_and_why_it_refuses_and_never_what(text: bytes, path: str, rule: str | None) -> None:
    with pytest.raises(ValidationFailedError) as caught:
        action(block=place).validate_input_json(text)
    first = caught.value.violations[0]
    assert (first.path, first.rule) == (path, rule or first.rule)
    assert "secret" not in str(caught.value) + repr(caught.value.violations)


def test_an_authors_validator_refuses_without_its_text() -> None:
    class Guarded(BaseModel):
        word: str

        @field_validator("word")
        @classmethod
        def check_word(cls, word: str) -> str:
            raise ValueError(f"not {word}")

    @handler
    async def guard(value: Guarded, ctx: Context) -> None: ...

    with pytest.raises(ValidationFailedError) as caught:
        action(block=guard).validate_input_json(b'{"word": "secret"}', "/params")
    (violation,) = caught.value.violations
    assert (violation.path, violation.rule) == ("/params/word", "value_error")
    assert "secret" not in violation.message


def test_without_input_takes_what_a_call_that_gives_none_sends() -> None:
    @handler
    async def nothing(_: None, ctx: Context) -> None: ...

    for bare in (action(block=nothing), action(input=cast(Any, None), block=nothing)):
        for text in (b"{}", b" { } ", b"null"):
            assert bare.validate_input_json(text) is None
        for text in (b'{"a": 1}', b"[]", b'"{}"', b"0"):
            with pytest.raises(ValidationFailedError):
                bare.validate_input_json(text)


def test_refuses_an_input_that_the_block_does_not_take() -> None:
    problem = 'block "place" takes Order, but is given str by the action'
    with pytest.raises(FlowDefinitionError, match=problem):
        action(input=cast(Any, str), block=place)


def test_takes_inputs_that_are_no_models() -> None:
    class Point(TypedDict):
        x: int

    @handler
    async def nothing(value: None, ctx: Context) -> None: ...

    @handler
    async def point(value: Point, ctx: Context) -> list[Point]:
        return [value]

    @handler
    async def small(value: Annotated[int, Field(lt=10)], ctx: Context) -> dict[str, Any]:
        return {}

    assert action(block=nothing).validate_input_json(b"null") is None
    assert action(block=point).validate_input_json(b'{"x": 1}') == {"x": 1}
    assert action(block=small).validate_input_json(b"9") == 9
    with pytest.raises(ValidationFailedError):
        action(block=small).validate_input_json(b"10")


def test_passes_instances_on() -> None:
    order = Order(lines=[])
    assert action(block=place).validate_input(order) is order
    assert action(block=place).validate_input({"lines": []}) == order
    with pytest.raises(ValidationFailedError):
        action(block=place).validate_input(Move(distance=1))


def test_writes_outputs_as_their_schema_says() -> None:
    made = action(block=place)
    assert made.dump_output(Receipt(total=2)) == {"theTotal": 2.0}
    assert made.output_schema()["properties"] == {"theTotal": {"title": "Thetotal", "type": "number"}}
    assert made.input_schema()["required"] == ["lines"]
    assert made.input_schema() is made.input_schema()


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), JsonNumberError),
        (2**63, JsonNumberError),
        (b"\xff", JsonInvalidError),
        (object(), JsonInvalidError),
        ("\ud800", JsonInvalidError),
    ],
)
def test_refuses_outputs_that_are_not_json(value: object, error: type[FlowStateError]) -> None:
    @handler
    async def anything(value: None, ctx: Context) -> Any: ...

    with pytest.raises(error) as caught:
        action(block=anything).dump_output({"values": [value]})
    assert str(caught.value).startswith("/output")


def test_an_output_is_checked_against_the_type_it_is_said_to_have() -> None:
    @handler
    async def anything(value: None, ctx: Context) -> dict[str, Any]:
        return {}

    made = action(block=anything, output=cast(Any, Move))
    assert made.dump_output({"distance": 3}) == {"distance": 3}
    with pytest.raises(ValidationFailedError, match="/output/distance"):
        made.dump_output({})


@pytest.mark.parametrize("timeout", [0, -1, True, "5", float("nan"), float("inf"), timedelta(0)])
def test_refuses_other_timeouts(timeout: Any) -> None:
    with pytest.raises(FlowDefinitionError, match="an action's timeout must be a positive number of seconds"):
        action(block=place, timeout=timeout)


def test_refuses_a_block_that_can_not_take_the_input() -> None:
    with pytest.raises(FlowDefinitionError, match='block "place" takes Order, but is given Move'):
        action(input=Move, block=cast(Any, place))
    with pytest.raises(
        FlowDefinitionError, match="an action needs a block, not the function len: decorate it"
    ):
        action(input=Order, block=cast(Any, len))


def test_refuses_types_that_can_not_cross_the_wire() -> None:
    class Connection:
        pass

    @handler
    async def connect(value: None, ctx: Context) -> Connection:
        return Connection()

    @handler
    async def call(value: Callable[[], None], ctx: Context) -> None: ...

    with pytest.raises(
        FlowDefinitionError,
        match='the output of the action of block "connect" has no JSON Schema: Connection; make',
    ):
        action(block=connect)
    with pytest.raises(
        FlowDefinitionError, match='the input of the action of block "call" has no JSON Schema'
    ):
        action(block=call)


async def add(value: str, ctx: Context) -> None: ...


@pytest.mark.parametrize("given", [add, handler(add)])
def test_a_block_without_its_name_is_told_how_to_write_it(given: Any) -> None:
    with pytest.raises(FlowDefinitionError, match=r"write action\(block=add\)"):
        action(given)  # type: ignore[call-overload]
