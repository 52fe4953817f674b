"""Dicts and sequences that stand for the values of a field."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import pytest
from pydantic import Base64Bytes, BaseModel, PlainSerializer, field_validator

from flowstate_server.errors import JsonInvalidError, StateValidationError
from flowstate_server.state import operations as op
from flowstate_server.state.code_time import MOST_SECONDS
from flowstate_server.state.operations import Operation
from tests.unit.schemas.pydantic.checks import schema_of
from tests.unit.schemas.pydantic.everything import DAY, SCHEMA, Account, Weight, patched, write


def test_f8_models_are_taken_as_dicts_in_containers_that_json_has_not() -> None:
    ada = {"name": "ada", "password_hash": "c4nary"}
    writes: list[Callable[[], tuple[Operation, ...]]] = [
        lambda: op.patch_state({"by_number": {1: ada, 2: Account(name="bob")}}, SCHEMA.fields_json),
        lambda: op.patch_state({"by_number": {1: ada, 2: {"name": "bob"}}}, SCHEMA.fields_json),
        lambda: op.set_state(
            {"by_number": {1: {"name": "ada"}, 2: ada | {"name": "bob"}}}, SCHEMA.fields_json
        ),
    ]
    for write_it in writes:
        assert write({}, write_it())["by_number"] == {"1": {"name": "ada"}, "2": {"name": "bob"}}
    assert patched({}, by_day={DAY: "0.1"})["by_day"] == {"2026-01-02": "0.1"}
    for wrong in (
        {1: {"nome": "ada"}},
        {1: {"name": 5}},
        {"x": ada},
        {1.5: ada},
        {(1,): ada},
        {1: ada, "1": ada},
    ):
        with pytest.raises((StateValidationError, JsonInvalidError), match="/by_number"):
            patched({}, by_number=wrong)


class Listed(list[Any]):
    pass


def test_what_is_read_of_a_sequence_is_written_back_by_the_type_of_its_elements() -> None:
    class State(BaseModel):
        keys: Sequence[Sequence[Base64Bytes]] = []
        days: Sequence[dt.date] = []

    schema = schema_of(State)
    state = patched({}, schema, keys=[[b"\x00"]], days=(DAY,))
    assert state == {"keys": [["AA=="]], "days": ["2026-01-02"]}
    for again in (schema.view(State, state).keys, Listed([Listed([b"\x00"])]), ((b"\x00",),)):
        try:
            assert patched(state, schema, keys=again) == state
        except StateValidationError as refusal:
            assert type(again) is Listed, refusal  # noqa: PT017 - pydantic writes the elements of these by no type


def test_dicts_stand_for_models_that_have_serializers_of_their_own() -> None:
    class Dated(Weight):
        day: dt.date = DAY

        @field_validator("grams", mode="before")
        @classmethod
        def without_unit(cls, value: Any) -> Any:
            return int(value.split()[0]) if isinstance(value, str) else value

    class State(BaseModel):
        one: Dated | None = None
        many: list[Dated] = []

    schema = schema_of(State)
    given = {"grams": 5, "day": DAY, "ignored": {1}}
    state = patched({}, schema, one=given, many=[given, Dated(grams=6)])
    assert state["one"] == {"grams": "5 g", "day": "2026-01-02"}
    assert schema.view(State, state).many == [Dated(grams=5), Dated(grams=6)]


@pytest.mark.usefixtures("no_collections")
def test_a_process_that_was_held_up_while_a_value_was_taken_is_not_taken_for_slow_code() -> None:
    pauses: list[float] = []

    def written(day: dt.date) -> str:
        if pauses:
            time.sleep(pauses.pop())
        return day.isoformat()

    class State(BaseModel):
        day: Annotated[dt.date, PlainSerializer(written)] = DAY
        by_day: dict[Annotated[dt.date, PlainSerializer(written)], int] = {}

    schema = schema_of(State)
    writes: list[Callable[[], tuple[Operation, ...]]] = [
        lambda: op.patch_state({"day": DAY}, schema.fields_json),
        lambda: op.delete_state_record("by_day", DAY, schema.key_json),
    ]
    for make in writes:
        pauses[:] = [1.2 * MOST_SECONDS]
        assert make()
        assert not pauses
        pauses[:] = [1.2 * MOST_SECONDS] * 2
        with pytest.raises(StateValidationError, match="at most 250 ms"):
            make()
