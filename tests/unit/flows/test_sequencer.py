from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest
from pydantic import BaseModel, RootModel, model_validator

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.flows import Context, action, handler, sequencer
from tests.unit.flows.plain_runner import PlainRunner


class Say(BaseModel):
    message: str


class Move(BaseModel):
    distance: int


@handler
async def count(say: Say, ctx: Context) -> None: ...


@handler
async def reply(say: Say, ctx: Context) -> str:
    return say.message[::-1]


@handler
def length(text: str, ctx: Context) -> int:
    return len(text)


@handler
async def move(move: Move, ctx: Context) -> Move:
    return move


async def test_runs_its_steps_in_order_and_drops_what_taps_give() -> None:
    block = sequencer("say").tap(count).step(reply).tap(length)
    runner = PlainRunner()

    assert await runner.execute(block, Say(message="abc")) == "cba"
    assert runner.ran == ["say", "count", "reply", "length"]


async def test_steps_hand_their_output_on() -> None:
    assert await PlainRunner().execute(sequencer("say").step(reply).step(length), Say(message="abc")) == 3


async def test_is_a_block_itself() -> None:
    inner = sequencer("inner").tap(count).step(reply)
    outer = sequencer("outer").step(inner).step(length)
    runner = PlainRunner()

    assert await runner.execute(outer, Say(message="abcd")) == 4
    assert runner.ran == ["outer", "inner", "count", "reply", "length"]
    assert outer.children == (inner, length)


def test_takes_what_its_first_block_takes_and_gives_what_its_last_step_gives() -> None:
    block = sequencer("say").tap(count).step(reply).tap(length)
    assert (block.name, block.kind) == ("say", "sequencer")
    assert (block.input_type, block.output_type) == (Say, str)
    assert block.declarations == {}
    assert repr(block) == "<sequencer say>"
    assert sequencer("tap").tap(count).output_type is Say


def test_is_immutable() -> None:
    begun = sequencer("say").tap(count)
    one, other = begun.step(reply), begun.tap(reply)
    assert begun.children == (count,)
    assert one.children == other.children == (count, reply)
    assert (one.output_type, other.output_type) == (str, Say)


def test_may_say_what_it_takes() -> None:
    @handler
    async def audit(value: object, ctx: Context) -> None: ...

    block = sequencer("say", input=Say).tap(audit).step(reply)
    assert (block.input_type, block.output_type) == (Say, str)


@pytest.mark.parametrize("empty", [sequencer("nothing"), sequencer("nothing", input=Say)])
def test_an_empty_one_is_refused_where_it_is_used(empty: Any) -> None:
    problem = '(^|needs a block: )sequencer "nothing" is empty'
    with pytest.raises(FlowDefinitionError, match=problem):
        action(input=Say, block=empty)
    with pytest.raises(FlowDefinitionError, match=problem):
        sequencer("outer").step(empty)
    with pytest.raises(FlowDefinitionError, match=problem):
        sequencer("outer").step(reply).tap(empty)


def test_refuses_what_is_no_block() -> None:
    with pytest.raises(
        FlowDefinitionError, match='step 1 of sequencer "say" needs a block, not the function len'
    ):
        sequencer("say").step(cast(Any, len))
    with pytest.raises(FlowDefinitionError, match='step 2 of sequencer "say" needs a block, not str'):
        sequencer("say").step(reply).tap(cast(Any, "reply"))
    with pytest.raises(FlowDefinitionError, match="a sequencer's name must not be empty"):
        sequencer("")
    with pytest.raises(FlowDefinitionError, match="a sequencer's name must be a string, not AsyncHandler"):
        sequencer(cast(Any, count))


def test_refuses_steps_in_the_wrong_order() -> None:
    problem = 'step 2 of sequencer "say", reply, takes Say, but is given None by "count"'
    with pytest.raises(FlowDefinitionError, match=problem):
        sequencer("say").step(count).step(cast(Any, reply))
    problem = 'step 2 of sequencer "say", move, takes Move, but is given Say by the input'
    with pytest.raises(FlowDefinitionError, match=problem):
        sequencer("say").tap(count).step(cast(Any, move))


class Text(RootModel[str]):
    pass


class Parsed(BaseModel):
    text: str

    @model_validator(mode="before")
    @classmethod
    def parse(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value


class Checked(BaseModel):
    text: str

    @model_validator(mode="after")
    def check(self) -> Checked:
        return self


def giving_to(given: Any, taken: Any) -> None:
    async def give(value: Say, ctx: Any) -> Any: ...

    async def take(value: Any, ctx: Any) -> None: ...

    give.__annotations__["return"] = given
    take.__annotations__["value"] = taken
    sequencer("say").step(handler(give)).tap(count_any).step(handler(take))


@handler
async def count_any(value: Any, ctx: Context) -> None: ...


@pytest.mark.parametrize(
    ("given", "taken", "names"),
    [
        (str, Say, ("str", "Say")),
        (str, int, ("str", "int")),
        (float, int, ("float", "int")),
        (int, str, ("int", "str")),
        (int, bool, ("int", "bool")),
        (bytes, str, ("bytes", "str")),
        (None, int, ("None", "int")),
        (str, None, ("str", "None")),
        (Say, None, ("Say", "None")),
        (Say, str, ("Say", "str")),
        (str, Checked, ("str", "Checked")),
        (None, Say, ("None", "Say")),
    ],
)
def test_refuses_another_type_than_the_next_step_takes(
    given: Any, taken: Any, names: tuple[str, str]
) -> None:
    problem = f'step 3 of sequencer "say", take, takes {names[1]}, but is given {names[0]} by "give"'
    with pytest.raises(FlowDefinitionError, match=problem):
        giving_to(given, taken)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (int, float),
        (bool, int),
        (str, bytes),
        (None, None),
        (Any, Say),
        (object, int),
        (str, Any),
        (str | int, int),
        (str, int | None),
        (str, date),
        (list[str], str),
        (str, Text),
        (str, Parsed),
    ],
)
def test_leaves_the_rest_to_validation(given: Any, taken: Any) -> None:
    giving_to(given, taken)
