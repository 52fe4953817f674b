"""Code that validates a write, ahead of it: what is taken over, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field

from flowstate_server.engine.rehearsals import (
    AT_ONCE,
    PROVEN,
    SLOW_SECONDS,
    WATCHED,
    Rehearsals,
    brings_all,
    checked,
    may_take_long,
)
from flowstate_server.engine.state_change import ChangeRules, state_change
from flowstate_server.errors import StateValidationError
from flowstate_server.flows import Context, FlowRegistry, User, action, define_flow, handler
from flowstate_server.model.clock import Micros
from flowstate_server.model.parsed_states import state_record
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind, user_scope
from flowstate_server.programs.stuck_calls import MOST_STUCK
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from flowstate_server.state.code_time import MOST_SECONDS, TOO_SLOW
from flowstate_server.state.operations import Increment, Operation, SetValue
from flowstate_server.stores.contract.writes import Changed
from flowstate_server.testing.waiting import until
from tests.support.slow_collections import collections_take

pytestmark = pytest.mark.usefixtures("no_collections")

KEY = user_scope("u")
calls: list[str] = []
pauses: list[float] = []


@pytest.fixture(autouse=True)
def none_yet() -> None:
    calls.clear()
    pauses.clear()


def _noted(text: str) -> str:
    calls.append(threading.current_thread().name)
    if text == "collect":
        gc.collect()
    elif pauses:
        time.sleep(pauses.pop(0))
    return text.strip()


Noted = Annotated[str, AfterValidator(_noted)]


class Inner(BaseModel):
    made: list[int] = Field(default_factory=lambda: [1])


class State(BaseModel):
    text: Noted = ""
    notes: list[Noted] = []
    inner: Inner | None = None
    count: int = 0
    tags: set[str] = set()


SCHEMA: ModelSchema = merge_declarations(ScopeKind.USER, [Declaration(State, "a test")])


@handler
async def nothing(value: None, ctx: Context) -> None: ...


FLOW = define_flow("f", user=User(state=State), actions={"nothing": action(block=nothing)})
RULES = ChangeRules.of(FLOW.described, ScopeKind.USER, 1_000_000, FlowRegistry([FLOW]))


def record(key: ScopeKey = KEY, /, **fields: Any) -> StateRecord:
    now = Micros(1)
    return state_record(
        key, version=1, incarnation="i", state=fields, text=b"", create_time=now, update_time=now
    )


async def rehearsed(operations: tuple[Operation, ...], seen: StateRecord, newest: StateRecord) -> Any:
    found = await Rehearsals().of(operations, SCHEMA, seen)
    assert found is not None
    before = len(calls)
    change = state_change(operations, RULES, rehearsed=found)(newest)
    assert isinstance(change, Changed)
    return change.state, len(calls) - before


async def test_what_was_rehearsed_is_not_validated_again() -> None:
    state, again = await rehearsed(op.patch_state({"text": " a "}), record(), record(count=3))
    assert (state, again) == ({"text": "a", "count": 3}, 0)
    assert set(calls) == {"flowstate-validation"}


async def test_what_has_changed_meanwhile_is_validated_with_what_is_there_now() -> None:
    push = op.push_state("notes", [" b "])
    state, again = await rehearsed(push, record(notes=["a"]), record(notes=["a", "c"]))
    assert state == {"notes": ["a", "c", "b"]}
    assert again > 0


async def test_what_may_stand_may_not_be_written_anew() -> None:
    """A rehearsal on a record that has the value proves nothing for one that has not."""
    operations = op.patch_state({"text": "a"})
    found = await Rehearsals().of(operations, SCHEMA, record(text="a"))
    assert found is not None
    calls.clear()
    state_change(operations, RULES, rehearsed=found)(record(text="b"))
    assert calls


async def test_a_change_tells_what_the_rehearsal_made() -> None:
    operations = op.patch_state({"text": " a ", "count": 2})
    found = await Rehearsals().of(operations, SCHEMA, record())
    (with_it, without) = (
        state_change(operations, RULES, rehearsed=given)(record(text="old", count=1))
        for given in (found, None)
    )
    assert with_it == without


async def test_a_refusal_of_a_rehearsal_counts_for_nothing() -> None:
    """The newest record decides."""
    operations = op.patch_state({"count": "no number", "text": "a"})
    assert await Rehearsals().of(operations, SCHEMA, record()) is None
    assert await Rehearsals().of((Increment(("text",), 1),), SCHEMA, record(text="x")) is None


@pytest.mark.parametrize(
    ("operations", "code", "whole"),
    [
        (op.patch_state({"count": 1, "tags": ["a"]}), False, True),
        (op.patch_state({"text": "a"}), True, True),
        (op.patch_state({"inner": {}}), True, True),
        ((SetValue(("text",), "a"),), True, True),
        (op.set_state({"count": 1}), True, False),
        (op.push_state("notes", ["a"]), True, False),
        (op.inc_state({"count": 1}), False, False),
        (op.patch_state({"unknown": 1}), False, True),
    ],
)
def test_only_what_code_validates_is_rehearsed(
    operations: tuple[Operation, ...], code: bool, whole: bool
) -> None:
    assert may_take_long(operations, SCHEMA) is code
    assert brings_all(operations, SCHEMA) is whole


async def test_code_that_takes_too_long_is_refused_by_field_while_it_goes_on() -> None:
    pauses.append(2.0)
    began = time.monotonic()
    with pytest.raises(StateValidationError) as refused:
        await Rehearsals().of(op.patch_state({"text": "a", "count": 1}), SCHEMA, record())
    assert time.monotonic() - began < 2.0
    assert [(one.path, one.rule) for one in refused.value.violations] == [("/text", TOO_SLOW)]


async def test_a_push_validates_all_of_the_list() -> None:
    """What older deploys have stored in it may not fit, and the limit holds for all together."""
    pauses.extend([0.1] * 4)
    with pytest.raises(StateValidationError) as refused:
        await Rehearsals().of(op.push_state("notes", ["d"]), SCHEMA, record(notes=["a", "b", "c"]))
    assert [(one.path, one.rule) for one in refused.value.violations] == [("/notes", TOO_SLOW)]


async def test_code_that_is_slow_in_a_transaction_refuses_its_write() -> None:
    pauses.append(0.3)
    with pytest.raises(StateValidationError) as refused:
        state_change(op.patch_state({"text": "a"}), RULES)(record())
    assert [(one.path, one.rule) for one in refused.value.violations] == [("/text", TOO_SLOW)]


async def test_who_was_held_up_with_the_whole_process_is_not_taken_for_slow() -> None:
    """As by SIGSTOP: neither the loop nor the thread went on."""
    pauses.append(0.6)
    asyncio.get_running_loop().call_soon(time.sleep, 0.7)
    found = await Rehearsals().of(op.patch_state({"text": "a"}), SCHEMA, record())
    assert found is not None


@pytest.mark.parametrize("how", ["many at once", "stuck ones"])
async def test_many_rehearsals_do_not_wait_for_stuck_ones(how: str) -> None:
    rehearsals = Rehearsals()

    def rehearse(key: ScopeKey = KEY) -> Any:
        return rehearsals.of(op.patch_state({"text": "a"}), SCHEMA, record(key))

    if how == "stuck ones":  # of another user
        pauses.extend([1.5] * AT_ONCE)
        other = user_scope("other")
        stuck = await asyncio.gather(*(rehearse(other) for _ in range(AT_ONCE)), return_exceptions=True)
        assert all(isinstance(one, StateValidationError) for one in stuck)
    found = await asyncio.gather(*(rehearse() for _ in range(100)))
    assert None not in found


def proven() -> ModelSchema:
    """A schema whose ``text`` was quick for as long as it takes to be trusted."""
    write = op.patch_state({"text": "a"})
    for _ in range(5):  # a hiccup of the machine makes quick code slow for good
        schema = merge_declarations(ScopeKind.USER, [Declaration(State, "a test")])
        assert may_take_long(write, schema)
        for _ in range(2 * PROVEN):
            checked(apply({}, write, schema), schema)
            if not may_take_long(write, schema):
                return schema
    raise AssertionError("it was never trusted")


async def test_code_that_was_quick_for_long_needs_no_thread() -> None:
    schema = proven()
    assert may_take_long(op.push_state("notes", ["a"]), schema), "of this nothing is known"


async def test_code_that_was_slow_once_is_never_taken_for_quick_again() -> None:
    schema = proven()
    write = op.patch_state({"text": "b"})
    pauses.append(SLOW_SECONDS * 1.5)
    checked(apply({}, write, schema), schema)
    for _ in range(2 * PROVEN):
        assert may_take_long(write, schema)
        checked(apply({}, write, schema), schema)


async def test_rehearsals_prove_code_as_well() -> None:
    write = op.patch_state({"text": "a"})
    rehearsals = Rehearsals()
    for _ in range(5):  # as above
        schema = merge_declarations(ScopeKind.USER, [Declaration(State, "a test")])
        for count in range(2 * PROVEN):
            if not may_take_long(write, schema):
                assert count >= PROVEN
                return
            await rehearsals.of(write, schema, record())
    raise AssertionError("it was never trusted")


async def test_proven_code_that_takes_too_long_after_all_is_refused_by_its_field() -> None:
    schema = proven()
    pauses.append(0.3)
    with pytest.raises(StateValidationError) as refused:
        checked(apply({}, op.patch_state({"text": "b"}), schema), schema)
    assert [(one.path, one.rule) for one in refused.value.violations] == [("/text", TOO_SLOW)]


async def test_who_was_held_up_by_a_collection_of_garbage_is_not_taken_for_slow() -> None:
    """Nor in a transaction, where nothing is asked twice, nor for what it is trusted with afterwards."""
    schema = proven()

    with collections_take(2 * MOST_SECONDS) as taken:
        for write in (op.patch_state({"text": "collect"}), op.push_state("notes", ["collect"])):
            taken.clear()
            checked(apply({}, write, schema), schema)
            assert taken
    assert not may_take_long(op.patch_state({"text": "a"}), schema)


@pytest.mark.parametrize("left", ["refused", "left by its caller"])
async def test_code_that_never_ends_costs_two_threads_and_is_refused_at_once_until_it_does(left: str) -> None:
    let_go, entered = threading.Event(), []

    def stuck(text: str) -> str:
        entered.append(text)
        let_go.wait(20)
        return text

    class Hung(BaseModel):
        text: Annotated[str, AfterValidator(stuck)] = ""
        other: Noted = ""

    let_go.set()
    schema = merge_declarations(ScopeKind.USER, [Declaration(Hung, "a test")])
    let_go.clear()
    entered.clear()
    rehearsals, write = Rehearsals(), op.patch_state({"text": "a"})
    writing = [asyncio.ensure_future(rehearsals.of(write, schema, record())) for _ in range(MOST_STUCK)]
    await until(lambda: len(entered) == MOST_STUCK)
    if left == "left by its caller":
        for each in writing:
            each.cancel()
    ends = await asyncio.gather(*writing, return_exceptions=True)
    refusal = StateValidationError if left == "refused" else asyncio.CancelledError
    assert [type(end) for end in ends] == [refusal] * MOST_STUCK
    await asyncio.sleep(2 * MOST_SECONDS)  # past the limit of those that were left
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(StateValidationError, match="earlier calls of it have not ended yet") as refused:
            await rehearsals.of(op.patch_state({"text": "b", "other": "c"}), schema, record())
        assert [(one.path, one.rule) for one in refused.value.violations] == [("/text", TOO_SLOW)]
    assert time.monotonic() - began < 2.0  # one that waits takes 0.25 s
    assert entered == ["a"] * MOST_STUCK
    assert await rehearsals.of(op.patch_state({"other": "c"}), schema, record()) is not None
    with pytest.raises(StateValidationError, match="250 ms"):  # others are not refused unheard
        await rehearsals.of(write, schema, record(user_scope("other")))
    let_go.set()

    async def goes_again() -> bool:
        try:
            return await rehearsals.of(write, schema, record()) is not None
        except StateValidationError:
            return False

    await until(goes_again)


class Unsteady:
    """Makes something else of a text at every so many calls, or refuses it then."""

    def __init__(self, every: int, how: str = "changes") -> None:
        self.every, self.how, self.calls = every, how, 0

    def __call__(self, text: str) -> str:
        self.calls += 1
        if self.calls % self.every:
            return text
        if self.how == "refuses":
            raise ValueError
        return f"{text}!"


def unsteady_schema(validator: Unsteady) -> ModelSchema:
    class Unstable(BaseModel):
        text: Annotated[str, AfterValidator(validator.__call__)]
        other: Noted = ""
        count: int = 0

    schema = merge_declarations(ScopeKind.USER, [Declaration(Unstable, "a test")])
    validator.calls = 0
    return schema


@pytest.mark.parametrize(("how", "every"), [*(("changes", n) for n in range(2, 26)), ("refuses", 3)])
async def test_code_that_does_not_make_the_same_each_time_is_refused_by_field_within_the_first_writes(
    how: str, every: int
) -> None:
    schema = unsteady_schema(Unsteady(every, how))
    rehearsals = Rehearsals()
    with pytest.raises(StateValidationError, match="is not made into the same value each time") as refused:  # noqa: PT012
        for number in range(WATCHED):
            write = op.patch_state({"text": f"a{number}", "other": "b", "count": number})
            await rehearsals.of(write, schema, record())
    assert [(one.path, one.rule) for one in refused.value.violations] == [("/text", "not_a_fixpoint")]


async def test_code_is_watched_in_its_first_writes_alone() -> None:
    validator = Unsteady(10**9)
    schema = unsteady_schema(validator)
    rehearsals = Rehearsals()
    calls = []
    for number in range(2 * WATCHED):
        validator.calls = 0
        assert await rehearsals.of(op.patch_state({"text": f"a{number}"}), schema, record()) is not None
        calls.append(validator.calls)
    assert min(calls[:WATCHED]) == 3
    assert max(calls[:WATCHED]) == 7
    assert calls[WATCHED:] == [1] * WATCHED
