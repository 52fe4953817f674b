"""Python values by the type of their place: what is written is what is read, by every operation, or is refused."""

from __future__ import annotations

import math
import re
import uuid
from collections import deque
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, PlainSerializer, SecretStr

from flowstate_server.errors import JsonInvalidError, JsonNumberError, StateValidationError
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.state import operations as op
from tests.unit.schemas.pydantic.checks import schema_of
from tests.unit.schemas.pydantic.everything import (
    DAY,
    ID,
    MOMENT,
    SCHEMA,
    Account,
    Color,
    Everything,
    Loose,
    Measured,
    Pair,
    Point,
    Public,
    Raw,
    Spot,
    Weight,
    patched,
    write,
)

FIELDS: list[tuple[str, Any]] = [
    ("tags", {"b", "a"}),
    ("frozen", frozenset((2, 1))),
    ("data", b"abc"),
    ("raw", Raw(data=b"\xff\x00")),
    ("queue", deque((Decimal("1.50"), Decimal("2")))),
    ("pattern", re.compile("a+")),
    ("point", Point(1, {"b", "a"})),
    ("points", [Point(1), Point(2, {"x"})]),
    ("spots", {"a": Spot(x=1.0)}),
    ("owner", Public(name="ada")),
    ("members", [Public(name="ada")]),
    ("by_number", {1: Public(name="ada"), 20: Public(name="bob")}),
    ("by_id", {ID: {"b", "a"}}),
    ("by_day", {DAY: Decimal("0.1")}),
    ("moments", [MOMENT]),
    ("color", Color.RED),
    ("pair", Pair(1, "x")),
    ("path", Path("/a/b")),
    ("nested", frozenset((frozenset(("b", "a")), frozenset(("c",))))),
    ("rows", (3, 1, 2)),
    ("measured", [Measured(grams=5)]),
    ("shade", Color.RED),
    ("anything", {"a": [1, 1.5, None]}),
]


@pytest.mark.parametrize(("name", "value"), FIELDS)
def test_what_is_read_is_what_was_written_by_every_operation(name: str, value: Any) -> None:
    state = patched({}, **{name: value})
    view = SCHEMA.view(Everything, state)
    assert getattr(view, name) == value
    assert type(getattr(view.model_copy(), name)) is type(value)
    assert patched(state, **{name: getattr(view, name)}) == state, "what was read can be written back"
    assert encode_json(patched(state, n=1)) == encode_json({**state, "n": 1}), (
        "and nothing moves with another field"
    )
    whole = write({}, op.set_state(Everything(**{name: value}), SCHEMA.fields_json))
    assert whole[name] == state[name]
    assert write(whole, op.set_state(SCHEMA.view(Everything, whole), SCHEMA.fields_json)) == whole
    if isinstance(value, list | set | frozenset | deque | tuple) and name != "pair":
        pushed = write({}, op.push_state(name, value, SCHEMA.element_json))
        assert getattr(SCHEMA.view(Everything, pushed), name) == value
    if isinstance(value, dict) and name != "anything":
        put: JsonObject = {}
        for key, record in value.items():
            put = write(put, op.set_state_record(name, key, record, SCHEMA.record_json))
        assert put == state
        for key in value:
            put = write(put, op.delete_state_record(name, key, SCHEMA.key_json))
        assert put == {name: {}}


@pytest.mark.parametrize(
    "write_owner",
    [
        lambda owner: op.patch_state({"owner": owner}, SCHEMA.fields_json),
        lambda owner: op.patch_state({"owner": owner.model_dump()}, SCHEMA.fields_json),
        lambda owner: op.push_state("members", [owner], SCHEMA.element_json),
        lambda owner: op.push_state("members", [owner.model_dump(), owner], SCHEMA.element_json),
        lambda owner: op.set_state_record("by_number", 1, owner, SCHEMA.record_json),
        lambda owner: op.set_state_record("by_number", "1", owner.model_dump(), SCHEMA.record_json),
        lambda owner: op.set_state(Everything(owner=owner, members=[owner]), SCHEMA.fields_json),
        lambda owner: op.set_state(
            {"owner": owner, "members": [owner.model_dump()], "by_number": {}}, SCHEMA.fields_json
        ),
        lambda owner: op.patch_state(
            Everything().model_copy(update={"owner": owner, "members": [owner]}), SCHEMA.fields_json
        ),
    ],
)
def test_f2_no_key_that_the_schema_has_not_is_stored(write_owner: Any) -> None:
    state = write({}, write_owner(Account(name="ada")))
    assert "c4nary" not in repr(state)
    assert "ada" in repr(state)


def test_f3_a_serializer_made_for_output_is_refused_where_it_stores() -> None:
    class State(BaseModel):
        n: int = 0
        weight: Weight | None = None
        weights: list[Weight] = []
        phone: Annotated[str, PlainSerializer(lambda text: "***" + text[-2:])] = ""

    schema = schema_of(State)
    weight = Weight(grams=5)
    writes: list[Any] = [
        lambda: op.patch_state({"weight": weight}, schema.fields_json),
        lambda: op.patch_state({"weight": {"grams": 5}}, schema.fields_json),
        lambda: op.push_state("weights", [weight], schema.element_json),
        lambda: op.set_state(State(weight=weight), schema.fields_json),
        lambda: op.patch_state({"phone": "+49 170"}, schema.fields_json),
        lambda: op.set_state(State(phone="+49 170"), schema.fields_json),
    ]
    for make in writes:
        with pytest.raises(StateValidationError) as refused:
            write({}, make(), schema)
        assert {violation.rule for violation in refused.value.violations} == {"not_a_fixpoint"}
        assert re.match("/(weights?|phone)", refused.value.violations[0].path)
        assert "170" not in str(refused.value)


def test_f3_a_formatting_serializer_with_its_inverse_is_stored_by_every_operation() -> None:
    stored = [{"grams": "5 g"}]
    for make in (
        op.patch_state({"measured": [Measured(grams=5)]}, SCHEMA.fields_json),
        op.patch_state({"measured": [{"grams": 5}]}, SCHEMA.fields_json),
        op.push_state("measured", [Measured(grams=5)], SCHEMA.element_json),
    ):
        assert write({}, make)["measured"] == stored


def test_f5_what_validation_makes_of_a_value_is_stored() -> None:
    state = patched({}, email="  ADA@X.org ")
    assert state == {"email": "ada@x.org"}
    for _ in range(2):
        state = write(state, op.push_state("tags", ["b", "a"], SCHEMA.element_json))
    assert state["tags"] == ["a", "b"]


@pytest.mark.parametrize(
    "again",
    [
        AfterValidator(lambda text: text + "!"),
        AfterValidator(lambda text: uuid.uuid4().hex),
        AfterValidator(lambda text: f"{hash(text)}"),
    ],
)
def test_f5_a_validator_that_makes_another_value_each_time_is_refused(again: Any) -> None:
    class State(BaseModel):
        text: Annotated[str, again]
        n: int = 0

    schema = schema_of(State)
    with pytest.raises(StateValidationError, match="/text: reads back as another value"):
        patched({}, schema, text="c4nary")
    assert patched({"text": "old"}, schema, n=1) == {"text": "old", "n": 1}


def test_f5_a_mask_that_masks_what_it_masked_is_kept() -> None:
    class State(BaseModel):
        phone: Annotated[str, AfterValidator(lambda text: "***" + text[-2:])]

    assert patched({}, schema_of(State), phone="+49 170 1234567") == {"phone": "***67"}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_f12_what_is_not_finite_is_refused_by_name_wherever_it_is(number: float) -> None:
    class Inner(BaseModel):
        typed: float | None = None
        untyped: Any = None

    class State(BaseModel):
        one: float = 0.0
        inner: Inner | None = None
        inners: list[Inner] = []
        anything: Any = None
        made: Annotated[float | None, AfterValidator(lambda value: value and math.inf)] = None

    schema = schema_of(State)
    for value in (Inner(typed=number), Inner(untyped=number), Inner(untyped={"a": [number]})):
        for convert, given in (
            (schema.fields_json, {"inner": value}),
            (schema.fields_json, {"anything": value}),
            (schema.fields_json, State(inner=value)),
            (schema.element_json, value),
        ):
            with pytest.raises(JsonNumberError, match=r"/(inners?|anything)/\w+"):
                convert(given, "/inners" if convert == schema.element_json else "")
    with pytest.raises(JsonNumberError, match="/one"):
        op.patch_state({"one": number}, schema.fields_json)
    with pytest.raises(StateValidationError, match="/made"):
        patched({}, schema, made=1.0)


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("anything", {1}, "set"),
        ("anything", {"a": b"x"}, "bytes"),
        ("anything", SecretStr("c4nary"), "SecretStr"),
        ("anything", [Loose(inside=SecretStr("c4nary"))], "SecretStr"),
        ("email", SecretStr("c4nary"), "SecretStr"),
        ("data", b"\xff", "bytes"),
        ("members", {1}, "set"),
        ("n", Decimal("NaN"), "finite"),
    ],
)
def test_what_has_no_json_form_in_its_place_is_refused_by_name(name: str, value: Any, word: str) -> None:
    with pytest.raises((JsonInvalidError, JsonNumberError), match=f"/{name}.*{word}") as refused:
        op.patch_state({name: value}, SCHEMA.fields_json)
    assert "c4nary" not in str(refused.value)


def test_f14_an_empty_record_key_is_refused() -> None:
    with pytest.raises(JsonInvalidError, match="/by_number: a record key must not be empty"):
        op.set_state_record("by_number", "", {}, SCHEMA.record_json)
    with pytest.raises(JsonInvalidError, match="/by_number"):
        op.delete_state_record("by_number", "", SCHEMA.key_json)


def test_u2_an_increment_names_the_type_that_it_was_given() -> None:
    with pytest.raises(JsonInvalidError, match="/n: an increment must be an int or a float, not Decimal"):
        op.inc_state({"n": Decimal("0.1")})  # type: ignore[dict-item]


def test_writing_an_equal_value_again_is_no_change() -> None:
    state = patched({}, **dict(FIELDS))
    for name, value in FIELDS:
        assert patched(state, **{name: value}) == state
        assert encode_json(patched(state, **{name: value})) == encode_json(state)
