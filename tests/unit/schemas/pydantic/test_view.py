"""Views: what ``ctx.session.state`` is at run time."""

from __future__ import annotations

import copy
import datetime as dt
import enum
import pickle
from functools import cached_property
from typing import Any, Generic, TypeVar

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    computed_field,
    field_validator,
    model_validator,
)

from flowstate_server.errors import StateFieldAbsentError, StateValidationError
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op


class Color(enum.Enum):
    RED = "red"


class Profile(BaseModel):
    name: str
    tags: list[str] = []


class State(BaseModel):
    when: dt.datetime
    color: Color = Color.RED
    profile: Profile
    by_day: dict[dt.date, list[int]] = {}
    count: int = 7
    ratio: float = 1.5
    made: list[int] = Field(default_factory=list)
    bare: str
    _secret: int = PrivateAttr(3)

    @property
    def double(self) -> int:
        return self.count * 2

    @computed_field
    def triple(self) -> int:
        return self.count * 3

    def greet(self, word: str) -> str:
        return f"{word} {self.profile.name}"


class Other(BaseModel):
    count: int
    extra: str = "more"


def schema_of(*models: type[BaseModel]) -> ModelSchema:
    return merge_declarations(ScopeKind.SESSION, [Declaration(model, model.__name__) for model in models])


SCHEMA = schema_of(State, Other)
STORED: JsonObject = {
    "when": "2026-01-02T12:00:00Z",
    "profile": {"name": "Ann", "tags": ["x"]},
    "by_day": {"2026-01-02": [1]},
    "theirs": 1,
}


def view(**changes: Any) -> State:
    return SCHEMA.view(State, {**STORED, **changes})


def test_reads_are_typed() -> None:
    state = view()
    assert isinstance(state, State)
    assert state.when == dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
    assert state.profile == Profile(name="Ann", tags=["x"])
    assert state.by_day == {dt.date(2026, 1, 2): [1]}
    assert view(color="red").color is Color.RED
    assert view(count=8).count == 8
    assert view(ratio=2.0).ratio == 2.0


def test_defaults_show() -> None:
    state = view()
    assert (state.color, state.count, state.ratio, state.made) == (Color.RED, 7, 1.5, [])


def test_properties_and_methods_of_the_model_work() -> None:
    state = view(count=2)
    assert (state.double, state.greet("hi")) == (4, "hi Ann")
    anything: Any = state
    assert anything.triple == 6


def test_what_is_absent() -> None:
    state = view()
    with pytest.raises(StateFieldAbsentError) as absent:
        _ = state.bare
    assert (absent.value.scope, absent.value.field) == ("session", "bare")
    anything: Any = state
    assert anything.get("bare") is None
    assert anything.get("bare", "other") == "other"
    assert anything.get("count") == 7
    for name in ("theirs", "zz", "extra"):
        with pytest.raises(AttributeError):
            getattr(anything, name)
    assert anything._secret == 3
    with pytest.raises(AttributeError):
        anything.get("zz")


def test_assignments_are_refused() -> None:
    state: Any = view()
    for name in ("count", "bare", "zz", "_secret"):
        with pytest.raises(AttributeError, match="read-only"):
            setattr(state, name, 1)
        with pytest.raises(AttributeError, match="read-only"):
            delattr(state, name)
    assert state.count == 7


def test_nobody_reaches_the_stored_state_through_a_view() -> None:
    before = copy.deepcopy(STORED)
    state = copy.deepcopy(SCHEMA.view(State, STORED))
    state.profile.tags.append("mine")
    state.profile.name = "Bob"
    state.by_day.clear()
    state.made.append(1)
    assert before == STORED
    assert view().made == []
    assert view().profile.name == "Ann"


def test_a_field_is_read_once() -> None:
    calls = []

    class Watched(BaseModel):
        field: str
        other: int = 0

        @field_validator("field")
        @classmethod
        def note(cls, value: str) -> str:
            calls.append(value)
            return value.upper()

    seen = schema_of(Watched).view(Watched, {"field": "a", "other": "not an int, but never read"})
    assert calls == []
    assert (seen.field, seen.field) == ("A", "A")
    assert calls == ["a"]


def test_model_validators_do_not_shape_reads() -> None:
    class Strict(BaseModel):
        low: int = 1

        @model_validator(mode="after")
        def never(self) -> Strict:
            raise ValueError("never")

    schema = schema_of(Strict)
    assert schema.view(Strict, {"low": 2}).low == 2


def test_what_does_not_fit_any_more_is_told_without_its_value() -> None:
    state = SCHEMA.view(State, {"count": "c4nary", "profile": {"name": ["c4nary"]}})
    for name, path in (("count", "/count"), ("profile", "/profile/name")):
        with pytest.raises(StateValidationError) as refused:
            getattr(state, name)
        assert [violation.path for violation in refused.value.violations] == [path]
        assert "c4nary" not in str(refused.value)


def test_the_default_of_another_model_shows() -> None:
    other = SCHEMA.view(Other, {})
    assert (other.count, other.extra) == (7, "more")


class Nullable(BaseModel):
    topic: str | None = None


class Required(BaseModel):
    topic: str


def test_a_null_default_shows_to_the_model_that_has_it_only() -> None:
    schema = schema_of(Nullable, Required)
    assert schema.view(Nullable, {}).topic is None
    with pytest.raises(StateFieldAbsentError):
        _ = schema.view(Required, {}).topic
    assert schema.with_defaults({}) == {}


def test_validate_default() -> None:
    class Checked(BaseModel):
        model_config = ConfigDict(validate_default=True)
        when: dt.date = "2026-01-02"  # type: ignore[assignment]

    assert schema_of(Checked).view(Checked, {}).when == dt.date(2026, 1, 2)


def test_names_that_pydantic_or_views_use_themselves() -> None:
    class Odd(BaseModel):
        get: int
        values: list[int] = [1]
        copy_: int = 2

    seen: Any = schema_of(Odd).view(Odd, {"get": 5})
    assert (seen.get, seen.values, seen.copy_) == (5, [1], 2)


def test_a_method_named_get_stays_the_authors() -> None:
    class Getter(BaseModel):
        a: int

        def get(self) -> int:
            return self.a

    assert schema_of(Getter).view(Getter, {"a": 3}).get() == 3


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    item: T


def test_generic_models() -> None:
    schema = schema_of(Box[dt.date])
    assert schema.view(Box[dt.date], {"item": "2026-01-02"}).item == dt.date(2026, 1, 2)


def test_dumps_comparisons_and_copies_see_all_that_can_be_read() -> None:
    state = view(count=1)
    dumped = state.model_dump()
    assert dumped["count"] == 1
    assert "bare" not in dumped
    assert view() == view()
    assert view() != view(count=1)
    assert SCHEMA.view(Other, {"count": 1}) == Other(count=1)
    assert repr(SCHEMA.view(Other, {"count": 1})) == "Other(count=1, extra='more')"
    other = SCHEMA.view(Other, {"count": 1})
    for made in (
        copy.copy(other),
        copy.deepcopy(other),
        pickle.loads(pickle.dumps(other)),
        other.model_copy(),
    ):
        assert type(made) is Other
        assert made == Other(count=1)
        made.count = 2
    assert other.count == 1
    assert other.model_dump_json() == '{"count":1,"extra":"more"}'


class Holder(BaseModel):
    held: Other
    anything: Any = None


@pytest.mark.parametrize("read_before", [False, True])
def test_pydantic_sees_all_that_can_be_read_wherever_a_view_is(read_before: bool) -> None:
    def other() -> Other:
        made = SCHEMA.view(Other, {"count": 1})
        if read_before:
            assert made.extra == "more"
        return made

    def written(kind: Any, value: object) -> object:
        return TypeAdapter(kind).dump_python(value, mode="json", warnings="error")

    filled = {"count": 1, "extra": "more"}
    assert written(Other, other()) == filled
    assert written(Any, other()) == filled
    assert written(list[Other], [other()]) == [filled]
    assert written(dict[str, Other | None], {"a": other()}) == {"a": filled}
    assert written(Other | int, other()) == filled
    assert written(Holder, Holder(held=other(), anything=[other()])) == {"held": filled, "anything": [filled]}
    assert TypeAdapter(Other).dump_json(other()) == b'{"count":1,"extra":"more"}'
    assert TypeAdapter(Other).dump_python(other(), exclude_unset=True) == {"count": 1}
    assert list(vars(other())) == ["count", "extra"]


def test_pydantic_leaves_out_what_is_absent() -> None:
    dumped = TypeAdapter(list[State]).dump_python([view()], mode="json", warnings="error")[0]
    assert "bare" not in dumped
    assert (dumped["count"], dumped["triple"], dumped["profile"]["name"]) == (7, 21, "Ann")


def test_a_view_can_be_revalidated() -> None:
    class Again(BaseModel):
        model_config = ConfigDict(revalidate_instances="always")
        a: int
        b: int = 2

    seen = schema_of(Again).view(Again, {"a": 1})
    made = TypeAdapter(Again).validate_python(seen)
    assert (type(made), made, made.model_fields_set) == (Again, Again(a=1), {"a"})


def test_cached_properties_of_the_model_are_kept() -> None:
    calls = []

    class Cached(BaseModel):
        a: int = 1
        b: int = 2

        @cached_property
        def more(self) -> int:
            calls.append(self.b)
            return self.b + 1

    seen = schema_of(Cached).view(Cached, {})
    assert (seen.more, seen.more, calls) == (3, 3, [2])
    assert seen.model_dump() == {"a": 1, "b": 2}
    assert TypeAdapter(Cached).dump_python(seen) == {"a": 1, "b": 2}


def test_a_view_can_be_written() -> None:
    (written,) = op.set_state(SCHEMA.view(Other, {"count": 1}), to_json)
    assert written == op.SetValue((), {"count": 1, "extra": "more"})
    assert op.patch_state({"p": view().profile}, to_json)[0] == op.Merge(
        (), {"p": {"name": "Ann", "tags": ["x"]}}
    )


def test_the_merged_view_has_all_fields() -> None:
    seen = SCHEMA.merged_view(STORED)
    assert (seen.count, seen.extra, seen.profile.name) == (7, "more", "Ann")
    assert seen.profile is seen.profile
    assert seen.get("bare") is None
    with pytest.raises(StateFieldAbsentError):
        _ = seen.bare
    with pytest.raises(AttributeError):
        _ = seen.theirs
    with pytest.raises(AttributeError):
        seen.count = 1
    anything: Any = SCHEMA.view(BaseModel, STORED)
    assert anything.extra == "more"


def test_the_merged_view_reads_well_in_an_assertion() -> None:
    seen = schema_of(Other).merged_view({"theirs": 1, "count": 2})
    assert seen.model_dump() == {"count": 2, "extra": "more"}
    assert seen == {"count": 2, "extra": "more"}
    assert seen == schema_of(Other).merged_view({"count": 2})
    assert seen != {"count": 2}
    assert seen != 2
    assert repr(seen) == "<session state {'count': 2, 'extra': 'more'}>"
    listed = SCHEMA.merged_view({"made": [1]})
    listed.model_dump()["made"].append(2)
    assert listed.model_dump()["made"] == [1]
    assert "bare" not in listed.model_dump()


def test_a_model_that_no_block_declares_can_view_too() -> None:
    class Part(BaseModel):
        count: int

    assert SCHEMA.view(Part, {}).count == 7


def test_u4_methods_find_private_attributes_as_they_begin() -> None:
    class Counted(BaseModel):
        n: int = 0
        _step: int = PrivateAttr(2)
        _seen: list[int] = PrivateAttr(default_factory=list)
        _unset: int = PrivateAttr()

        def next(self) -> int:
            return self.n + self._step + len(self._seen)

    view = schema_of(Counted).view(Counted, {"n": 1})
    assert view.next() == 3
    assert view.model_copy(update={"n": 2}).next() == 4
    assert view == Counted(n=1)
    with pytest.raises(AttributeError, match="_unset"):
        _ = view._unset
