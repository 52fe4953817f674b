"""Bubbling (semantics 3): what merges, which declaration wins, and what conflicts."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
import uuid
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, AliasGenerator, BaseModel, ConfigDict, Field, RootModel, create_model

from flowstate_server.errors import FlowDefinitionError, SchemaConflictError, StateValidationError
from flowstate_server.model.json_values import Json, canonical_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state.missing import MISSING


def model(annotation: Any, *default: Any, name: str = "Declared") -> type[BaseModel]:
    return create_model(name, field=(annotation, *(default or (...,))))


def merge(*models: type[BaseModel]) -> ModelSchema:
    return merge_declarations(
        ScopeKind.USER, [Declaration(one, f'block "{position}"') for position, one in enumerate(models)]
    )


def fits(schema: ModelSchema, value: Json) -> bool:
    try:
        schema.check({"field": value}, frozenset(("field",)), {})
    except StateValidationError:
        return False
    return True


class Theme(Enum):
    DARK = "dark"


class SameTheme(Enum):
    ALSO_DARK = "dark"


class Address(BaseModel):
    street: str
    number: int = 1


class SameAddress(BaseModel):
    street: str
    number: int = 2


class OtherAddress(BaseModel):
    street: str
    number: int


def not_empty(value: str) -> str:
    assert value
    return value


Short = Annotated[str, Field(max_length=3)]


def test_fields_of_all_models_in_order() -> None:
    class One(BaseModel):
        a: int
        b: str = "b"

    class Two(BaseModel):
        c: int = 1
        a: int

    schema = merge(One, Two, One)
    assert schema.fields == ("a", "b", "c")
    assert schema.declares("c")
    assert not schema.declares("d")
    assert [schema.default(name) for name in "abcd"] == [MISSING, "b", 1, MISSING]
    assert [schema.required(name) for name in "abc"] == [True, False, False]
    assert schema.models == (One, Two)


@pytest.mark.parametrize(
    ("one", "other", "takes", "refuses"),
    [
        (model(int), model(int), [1], [None, "1"]),
        (model(int | None), model(int), [1], [None]),
        (model(int | None), model(int | None), [1, None], ["x"]),
        (model(Short), model(str), ["abc"], ["abcd", None]),
        (model(Short | None), model(str), ["abc"], ["abcd", None]),
        (model(str | None), model(Short), ["abc"], ["abcd", None]),
        (model(list[int]), model(list[int], []), [[1]], [["x"]]),
        (model(Address), model(SameAddress), [{"street": "a"}], [{}]),
        (model(Theme), model(SameTheme), ["dark"], ["light"]),
        (model(Literal["a", "b"]), model(Literal["b", "a"]), ["a"], ["c"]),
        (model(int | str), model(str | int), [1, "a"], [1.5]),
        (model(Annotated[str, AfterValidator(not_empty)]), model(str), ["a"], [""]),
    ],
)
@pytest.mark.parametrize("swap", [False, True])
def test_the_stricter_wins(
    one: type[BaseModel], other: type[BaseModel], takes: list[Json], refuses: list[Json], swap: bool
) -> None:
    schema = merge(other, one) if swap else merge(one, other)
    assert [value for value in takes if not fits(schema, value)] == []
    assert [value for value in refuses if fits(schema, value)] == []


@pytest.mark.parametrize(
    ("one", "other", "types"),
    [
        (model(int), model(str), ("int", "str")),
        (model(int), model(float), ("int", "float")),
        (model(int, 1), model(bool), ("int", "bool")),
        (model(list[int]), model(list[str]), ("list[int]", "list[str]")),
        (model(list[int]), model(list[int | None]), ("list[int]", "list[int | None]")),
        (model(dict[str, int]), model(dict[str, str]), ("dict[str, int]", "dict[str, str]")),
        (model(Literal["a"]), model(Literal["b"]), ("Literal['a']", "Literal['b']")),
        (model(Address), model(OtherAddress), ("Address", "OtherAddress")),
        (model(Address), model(dict[str, Any]), ("Address", "dict[str, Any]")),
        (model(Any), model(int), ("Any", "int")),
        (model(Short), model(Annotated[str, Field(max_length=4)]), ("max_length=3", "max_length=4")),
        (model(Short), model(Annotated[str, Field(min_length=1)]), ("max_length=3", "min_length=1")),
        (model(int, 1), model(int, 2), ("int", "int")),
        (model(float, 0.0), model(float, -0.0), ("float", "float")),
        (model(int, 0), model(int | None, None), ("int", "int | None")),
        (model(uuid.UUID, Field(default_factory=uuid.uuid4)), model(uuid.UUID, Field(default_factory=uuid.uuid1)),
         ("UUID", "UUID")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("swap", [False, True])
def test_conflicts_name_blocks_field_and_types(
    one: type[BaseModel], other: type[BaseModel], types: tuple[str, str], swap: bool
) -> None:
    with pytest.raises(SchemaConflictError) as refused:
        merge(other, one) if swap else merge(one, other)
    message = str(refused.value)
    for word in (*types, 'block "0"', 'block "1"', '"field"', "user"):
        assert word in message


def test_a_conflict_deep_inside_names_its_place() -> None:
    class Home(BaseModel):
        addresses: list[Address]

    class OtherHome(BaseModel):
        addresses: list[OtherAddress]

    with pytest.raises(SchemaConflictError, match=r"/addresses/\*/number"):
        merge(model(Home), model(OtherHome))


def test_any_pair_may_conflict() -> None:
    with pytest.raises(SchemaConflictError, match=r'block "1".*block "2"'):
        merge(model(str), model(Short), model(Annotated[str, Field(min_length=1)]))


def made() -> uuid.UUID:
    return uuid.uuid4()


@pytest.mark.parametrize(
    ("models", "default"),
    [
        ((model(int), model(int, 3)), 3),
        ((model(int, 3), model(int)), 3),
        ((model(int | None, 3), model(int)), 3),
        ((model(int | None, None), model(int | None)), None),
        ((model(int | None, None), model(int)), MISSING),
        ((model(list[int], []), model(list[int], Field(default_factory=list))), []),
        ((model(set[int], {1}),), [1]),
        ((model(Address, Address(street="x")),), {"street": "x", "number": 1}),
        ((model(Theme, Theme.DARK),), "dark"),
        ((model(float, 1),), 1.0),
        ((model(dict[str, float], {"a": 1}),), {"a": 1.0}),
    ],
)
def test_the_only_default_is_kept_as_json(models: tuple[type[BaseModel], ...], default: Any) -> None:
    kept = merge(*models).default("field")
    if default is MISSING or kept is MISSING:
        assert kept is default
    else:
        assert canonical_json(kept) == canonical_json(default)


def test_f6_what_a_factory_makes_anew_each_time_is_no_default_but_drawn_to_be_written() -> None:
    one = model(uuid.UUID, Field(default_factory=made))
    schema = merge(one, model(uuid.UUID, Field(default_factory=made)))
    assert schema.default("field") is MISSING
    assert schema.required("field")
    assert schema.drawn == ("field",)
    assert schema.draw("field") != schema.draw("field")
    assert schema.hash == merge(one).hash


class Stamp(BaseModel):
    at: dt.datetime = Field(default_factory=lambda: dt.datetime.now(dt.UTC))


@pytest.mark.parametrize(
    ("kind", "factory", "drawn"),
    [
        (list[int], list, False),
        (list[int], lambda: [1], False),
        (dict[str, int], lambda: {"a": 1}, False),
        (Address, lambda: Address(street="x"), False),
        (int, int, False),
        (dt.date, dt.date.today, True),
        (int, lambda: int(time.time()), True),
        (str, lambda: "text", True),
        (list[dt.date], lambda: [dt.date.today()], True),  # noqa: DTZ011 - a day is what it is for
        (Stamp, Stamp, True),
        (uuid.UUID, uuid.uuid4, True),
    ],
)
def test_f6_factories_that_vary_are_told_from_constant_ones(kind: Any, factory: Any, drawn: bool) -> None:
    schema = merge(model(kind, Field(default_factory=factory)))
    assert ("field" in schema.drawn) is drawn
    assert (schema.default("field") is MISSING) is drawn
    assert schema.with_defaults({}) == ({} if drawn else {"field": schema.default("field")})


class Box(BaseModel):
    x: int = 0
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)


@dataclasses.dataclass
class Crate:
    x: int = 0
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)
    tags: list[str] = dataclasses.field(default_factory=list)


@pytest.mark.parametrize(
    ("kind", "default", "drawn"),
    [
        (Box, Box(), True),
        (Box, Box(id="given"), False),
        (list[Box], [Box()], True),
        (dict[str, Box], {"a": Box(x=1)}, True),
        (Crate, Crate(), True),
        (Address, Address(street="x"), False),
        (list[int], [1], False),
        (Box | None, None, False),
    ],
)
def test_f6_a_default_that_a_factory_has_a_part_in_is_drawn_too(kind: Any, default: Any, drawn: bool) -> None:
    one = model(kind, default)
    schema = merge(one)
    assert ("field" in schema.drawn) is drawn
    assert (schema.default("field") is MISSING) is drawn
    if drawn:
        assert schema.draw("field") == schema.draw("field")
        assert merge(one, create_model("Heir", __base__=one)).drawn == ("field",)


def test_defaults_show_on_read() -> None:
    class Fields(BaseModel):
        a: int = 1
        b: int = 2
        c: int

    stored: dict[str, Json] = {"b": 5, "theirs": 1}
    assert merge(Fields).with_defaults(stored) == {"b": 5, "theirs": 1, "a": 1}
    assert stored == {"b": 5, "theirs": 1}
    assert merge().with_defaults(stored) == stored


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class Root(RootModel[int]):
    pass


class Aliased(BaseModel):
    field: int = Field(1, validation_alias="Field")


Generated = create_model(
    "Generated",
    __config__=ConfigDict(alias_generator=AliasGenerator(serialization_alias=str.upper)),
    field=(int, 1),
)


class Holder(BaseModel):
    inner: list[Aliased]


class NotJson(BaseModel):
    field: float = float("nan")


class Unfinished(BaseModel):
    field: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Excluded(BaseModel):
    field: int = Field(1, exclude=True)


class Dependent(BaseModel):
    a: int
    field: int = Field(default_factory=lambda data: data["a"])


@pytest.mark.parametrize(
    "broken", [Loose, Root, Aliased, Generated, Holder, NotJson, Unfinished, Excluded, Dependent]
)
def test_models_that_can_not_declare_state(broken: type[BaseModel]) -> None:
    with pytest.raises(FlowDefinitionError, match='block "0"') as refused:
        merge(broken)
    assert broken.__name__ in str(refused.value)


def test_json_schema_is_merged() -> None:
    class One(BaseModel):
        a: int | None = None
        home: Address
        c: Short = "c"

    class Two(BaseModel):
        a: int
        home: Address
        c: str
        custom: Annotated[object, AfterValidator(lambda value: value)] = 1

    schema = merge(One, Two).json_schema()
    assert schema["type"] == "object"
    assert schema["required"] == ["a", "home"]
    properties: Any = schema["properties"]
    assert properties["a"] == {"title": "A", "type": "integer"}
    assert properties["home"] == {"$ref": "#/$defs/Address"}
    assert properties["c"]["default"] == "c"
    assert {"maxLength": 3, "title": "C", "type": "string", "default": "c"}.items() <= properties[
        "c"
    ].items() or (len(properties["c"]["allOf"]) == 2)
    assert list(schema["$defs"]) == ["Address"]  # type: ignore[arg-type]


def test_hash_follows_shape_and_defaults() -> None:
    assert merge(model(int)).hash == merge(model(int, name="Other")).hash
    assert merge(model(Address)).hash == merge(model(SameAddress)).hash
    hashes = {
        merge(*models).hash
        for models in (
            (),
            (model(int),),
            (model(int, 1),),
            (model(int, 2),),
            (model(int | None),),
            (model(str),),
            (model(Short),),
            (model(Literal["#a"]),),
            (model(Literal["#b"]),),
            (model(Annotated[str, AfterValidator(not_empty)]),),
        )
    }
    assert len(hashes) == 10


def test_a_conflict_names_the_types_once() -> None:
    class Whole(BaseModel):
        a: int

    class Text(BaseModel):
        a: str

    with pytest.raises(SchemaConflictError, match=r"declare int vs str \(incompatible-shape\)$"):
        merge_declarations(ScopeKind.SESSION, [Declaration(Whole, "one"), Declaration(Text, "other")])
