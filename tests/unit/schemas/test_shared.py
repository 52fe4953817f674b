"""What the flows that share a record declare together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator, model_validator

from flowstate_server.errors import StateTypeConflictError, StateValidationError
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.schemas.shared import SharedSchema
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from flowstate_server.state.operations import Operation, TestEqual


class Place(BaseModel):
    city: str = ""


class Chat(BaseModel):
    theme: str = "light"
    size: int = 1
    place: Place = Place()
    chatty: bool = True
    name: str = Field()


class Admin(BaseModel):
    theme: str = "dark"
    size: int
    place: Place = Place()
    notes: list[str] = ["welcome"]
    by_id: dict[str, int] = {}


def schema_of(model: type[BaseModel]) -> ModelSchema:
    return merge_declarations(ScopeKind.USER, [Declaration(model, model.__name__)])


def shared(**models: type[BaseModel]) -> SharedSchema:
    return SharedSchema(ScopeKind.USER, {kind: schema_of(model) for kind, model in models.items()})


BOTH = shared(admin=Admin, chat=Chat)


def written(state: JsonObject, *operations: tuple[Operation, ...], schema: ScopeSchema = BOTH) -> JsonObject:
    ops = [one for some in operations for one in some]
    return apply(state, ops, schema).checked(schema).state


def refused(*operations: tuple[Operation, ...], schema: ScopeSchema = BOTH) -> list[tuple[str, str, str]]:
    with pytest.raises(StateValidationError) as refusal:
        written({}, *operations, schema=schema)
    return [(one.path, one.rule, one.message) for one in refusal.value.violations]


def test_the_fields_of_all_may_be_written() -> None:
    after = written(
        {"unknown": 1},
        op.patch_state({"chatty": False, "notes": ["a"]}),
        op.set_state_record("by_id", "x", 1),
        op.patch_state({"place": {"city": "Rome", "left over": 1}}),
    )
    assert after == {
        "unknown": 1,
        "chatty": False,
        "notes": ["a"],
        "by_id": {"x": 1},
        "place": {"city": "Rome"},
    }
    assert written(after, op.set_state({"name": "n"})) == {"unknown": 1, "name": "n"}


def test_what_nobody_declares_may_not() -> None:
    told = "is not declared by any flow that shares the record"
    assert refused(op.patch_state({"colour": 1, "size": 2})) == [("/colour", "undeclared", told)]
    nobodys = SharedSchema(ScopeKind.USER, {})
    assert [path for path, *_ in refused(op.patch_state({"a": 1}), schema=nobodys)] == ["/a"]
    assert nobodys.with_defaults({"a": 1}) == {"a": 1}


def test_each_flow_that_declares_a_field_judges_it() -> None:
    class Small(BaseModel):
        size: int = Field(default=1, le=10)

    class Large(BaseModel):
        size: int = Field(default=1, ge=5)

    schema = shared(large=Large, small=Small)
    assert written({}, op.patch_state({"size": 7}), schema=schema) == {"size": 7}
    for size, kind in ((3, "large"), (11, "small")):
        [(path, _, message)] = refused(op.patch_state({"size": size}), schema=schema)
        assert path == "/size"
        assert message.endswith(f'says flow "{kind}"')


def test_flows_that_make_different_things_of_a_value_both_have_their_names_told() -> None:
    class Lower(BaseModel):
        theme: str = ""

        @field_validator("theme")
        @classmethod
        def lowered(cls, value: str) -> str:
            return value.lower()

    class Upper(BaseModel):
        theme: str = ""

        @field_validator("theme")
        @classmethod
        def raised(cls, value: str) -> str:
            return value.upper()

    schema = shared(lower=Lower, upper=Upper)
    assert written({}, op.patch_state({"theme": "1"}), schema=schema) == {"theme": "1"}
    [(path, rule, message)] = refused(op.patch_state({"theme": "a"}), schema=schema)
    assert (path, rule) == ("/theme", "declared_differently")
    assert '"upper"' in message
    assert '"lower"' in message
    same = shared(one=Lower, two=Lower)
    assert written({}, op.patch_state({"theme": "A"}), schema=same) == {"theme": "a"}


def test_rules_over_several_fields_hold_for_the_flow_that_has_them() -> None:
    class Range(BaseModel):
        low: int = 0
        high: int = 10

        @model_validator(mode="after")
        def ordered(self) -> Any:
            if self.low > self.high:
                raise ValueError("low must not exceed high")
            return self

    schema = shared(chat=Chat, range=Range)
    assert written({}, op.patch_state({"low": 5, "chatty": True}), schema=schema) == {
        "low": 5,
        "chatty": True,
    }
    assert refused(op.patch_state({"low": 11}), schema=schema)
    assert schema.seen_by_code({"low"}) == {"low", "high"}
    assert schema.seen_by_code({"chatty"}) == frozenset()


def test_defaults_show_that_the_flows_agree_about() -> None:
    """Or that only one of them has. What has none, or several, is absent."""
    assert BOTH.with_defaults({}) == {
        "size": 1,
        "place": {"city": ""},
        "notes": ["welcome"],
        "by_id": {},
        "chatty": True,
    }
    assert BOTH.with_defaults({"theme": "blue", "size": 3, "other": 1})["theme"] == "blue"
    assert BOTH.with_defaults({"place": {"city": "Rome", "gone": 1}})["place"] == {"city": "Rome"}
    assert BOTH.default_at(("place", "city")) == ""
    assert written({}, op.push_state("notes", ["x"])) == {"notes": ["welcome", "x"]}
    assert written({}, op.inc_state({"size": 2})) == {"size": 3}


def test_what_would_begin_with_one_of_several_defaults_is_refused() -> None:
    class Ten(BaseModel):
        n: int = 10
        tags: list[str] = ["a"]

    class Twenty(BaseModel):
        n: int = 20
        tags: list[str] = ["b"]

    schema = shared(ten=Ten, twenty=Twenty)
    for operations in (op.inc_state({"n": 1}), op.push_state("tags", ["x"]), (TestEqual(("n",), 10),)):
        with pytest.raises(StateTypeConflictError) as refusal:
            written({}, operations, schema=schema)
        assert 'flows "ten" and "twenty" declare different defaults' in str(refusal.value)
    assert written({"n": 1}, op.inc_state({"n": 1}), schema=schema) == {"n": 2}
    assert written({}, op.patch_state({"n": 1}), op.inc_state({"n": 1}), schema=schema) == {"n": 2}
    assert schema.with_defaults({}) == {}


def test_its_hash_is_that_of_its_flows() -> None:
    assert shared(admin=Admin, chat=Chat).hash == BOTH.hash != shared(admin=Admin, chat=Admin).hash
    assert set(BOTH.fields) == {*Chat.model_fields, *Admin.model_fields}
    assert BOTH.shape("chatty") == schema_of(Chat).shape("chatty")
    assert BOTH.read_again({"size": "x", "chatty": True}, ("size", "chatty", "unknown")).unreadable == {
        "size"
    }
