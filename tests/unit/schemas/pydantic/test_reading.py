"""Reading depends on what is stored and the schema alone: neither on the clock nor on what an older deploy left."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    FutureDatetime,
    PastDate,
    PlainSerializer,
    StringConstraints,
    create_model,
    model_validator,
)

from flowstate_server.errors import StateValidationError
from flowstate_server.model.json_values import JsonObject, canonical_json
from flowstate_server.schemas.known import known
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.schemas.reading import AS_STORED
from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from flowstate_server.state.missing import MISSING
from tests.unit.schemas.pydantic.checks import check, refusal, schema_of


class Meeting(BaseModel):
    at: FutureDatetime
    agenda: FilePath | None = None


class Calendar(BaseModel):
    at: FutureDatetime | None = None
    born: PastDate | None = None
    file: FilePath | None = None
    next: Meeting | None = None
    meetings: list[Meeting] = []
    n: int = 0


def test_f9_what_was_accepted_stays_readable_whatever_the_time(tmp_path: Path) -> None:
    schema = schema_of(Calendar)
    long_ago, gone = "2001-01-02T12:00:00Z", str(tmp_path / "gone")
    meeting: JsonObject = {"at": long_ago, "agenda": gone}
    state: JsonObject = {
        "at": long_ago,
        "born": "2999-01-01",
        "file": gone,
        "next": meeting,
        "meetings": [meeting],
    }
    view = schema.view(Calendar, state)
    moment = dt.datetime(2001, 1, 2, 12, tzinfo=dt.UTC)
    assert (view.at, view.born, view.file) == (moment, dt.date(2999, 1, 1), Path(gone))
    assert view.next is not None
    assert (view.next.at, view.meetings[0].agenda) == (moment, Path(gone))
    assert isinstance(view.next, Meeting)
    assert schema.read_again(state, state) == AS_STORED
    assert check({**state, "n": 1}, "n", schema=schema)["n"] == 1
    for name in state:
        assert refusal(state, name, schema=schema)[0].path.startswith(f"/{name}"), "a write is judged"


class Public(BaseModel):
    name: str


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Cat(BaseModel):
    kind: str = "cat"
    lives: int = 9


class Shown(BaseModel):
    owner: Public | None = None
    members: list[Public] = []
    by_id: dict[str, Public] = {}
    tree: Node | None = None
    either: Cat | Public | None = None
    pair: tuple[Public, int] | None = None
    anything: Any = None


ADA: JsonObject = {"name": "ada", "password_hash": "c4nary"}


def test_f2_what_an_older_deploy_left_in_nested_models_is_not_shown() -> None:
    schema = schema_of(Shown)
    state: JsonObject = {
        "owner": ADA,
        "members": [ADA, {"name": "bob"}],
        "by_id": {"c": ADA},
        "tree": {"value": 1, "old": "c4nary", "children": [{"value": 2, "old": "c4nary", "children": []}]},
        "either": {**ADA},
        "pair": [ADA, 1],
    }
    shown = schema.with_defaults(state)
    assert "c4nary" not in repr(shown)
    assert shown["by_id"] == {"c": {"name": "ada"}}
    assert shown["tree"] == {"value": 1, "children": [{"value": 2, "children": []}]}
    clean: JsonObject = {**shown, "anything": {"a": 1}}
    assert schema.with_defaults(clean) == clean
    assert all(schema.with_defaults(clean)[name] is value for name, value in clean.items())
    assert known(schema.shape("owner"), "c4nary", ("password_hash",)) is MISSING
    assert known(schema.shape("by_id"), ADA, ("a",)) == {"name": "ada"}


def test_f8_a_field_that_does_not_fit_any_more_fails_alone() -> None:
    class Once(BaseModel):
        n: int = 0
        low: Annotated[int, Field(le=10)] = 0
        inner: Public | None = None

        @model_validator(mode="after")
        def not_thirteen(self) -> Once:
            if self.n == 13:
                raise ValueError("c4nary")
            return self

    schema = schema_of(Once)
    state: JsonObject = {"n": 1, "low": 11, "inner": {"old": 1}}
    view = schema.view(Once, state)
    assert view.n == 1
    with pytest.raises(
        StateValidationError,
        match=r"The stored session state does not fit .* \(any more\): /low.*unset_state",
    ):
        _ = view.low
    assert schema.read_again(state, ("n", "low", "inner")).unreadable == {"low", "inner"}
    assert view.model_copy(update={"n": 2}).n == 2
    assert check({**state, "n": 2}, "n", schema=schema)["n"] == 2
    assert refusal({"n": 13, "low": 1}, "n", schema=schema)[0].rule == "value_error"


class Keyed(BaseModel):
    name: str
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)


def test_f5_reading_again_tells_only_what_differs_and_makes_nothing_up() -> None:
    class Today(BaseModel):
        text: str = ""
        low: Annotated[int, Field(le=10)] = 0
        tags: set[str] = set()
        share: float = 0
        keyed: Keyed | None = None
        mask: Annotated[str, AfterValidator(lambda text: "***" + text[-2:])] = ""
        at: FutureDatetime | None = None
        refused: Annotated[int, Field(le=10)] = 0

    schema = schema_of(Today)
    same: JsonObject = {
        "text": "a",
        "low": 1,
        "tags": ["a", "b"],
        "share": 1.0,
        "keyed": {"name": "ada"},
        "mask": "***ET",
        "at": "2001-01-02T12:00:00Z",
    }
    assert schema.read_again(same, schema.fields) is AS_STORED
    state: JsonObject = {**same, "tags": ["b", "a"], "share": 1, "mask": "SECRET", "at": "2001-01-02 12:00Z"}
    reading = schema.read_again({**state, "refused": 11}, schema.fields)
    differing = {name: same[name] for name in ("tags", "share", "mask", "at")}
    assert canonical_json(reading.values) == canonical_json(differing)
    assert reading.unreadable == {"refused"}
    assert schema.read_again(state, ("mask",)).values == {"mask": "***ET"}
    assert schema.read_again({}, schema.fields) is AS_STORED


class Masked(Keyed):
    secret: Annotated[str, AfterValidator(lambda text: "***" + text[-2:])] = ""
    inner: Keyed | None = None


@pytest.mark.parametrize(
    ("kind", "stored", "shown"),
    [
        (Masked, {"name": "a"}, {"name": "a", "secret": "", "inner": None}),
        (Masked, {"name": "a", "token": "t"}, {"name": "a", "token": "t", "secret": "", "inner": None}),
        (
            dict[str, Masked],
            {
                "a": {"name": "a", "secret": "SECRET"},
                "b": {"name": "b", "token": "t", "inner": {"name": "c"}},
            },
            {
                "a": {"name": "a", "secret": "***ET", "inner": None},
                "b": {"name": "b", "token": "t", "secret": "", "inner": {"name": "c"}},
            },
        ),
        (
            list[Masked | int],
            [1, {"name": "a"}, {"name": "b", "token": "t"}],
            [
                1,
                {"name": "a", "secret": "", "inner": None},
                {"name": "b", "token": "t", "secret": "", "inner": None},
            ],
        ),
        (
            Annotated[dict[str, Keyed], AfterValidator(lambda keyed: {**keyed, "new": Keyed(name="new")})],
            {"a": {"name": "a", "token": "t"}},
            {"a": {"name": "a", "token": "t"}, "new": {"name": "new"}},
        ),
        (Annotated[Keyed, AfterValidator(lambda keyed: keyed)], {"name": "a"}, None),
    ],
)
def test_f6_members_that_are_made_are_not_shown_beside_what_code_makes(
    kind: Any, stored: Any, shown: Any
) -> None:
    schema = schema_of(create_model("Holder", field=(kind, ...)))
    reading = schema.read_again({"field": stored}, ["field"])
    assert reading.values == ({} if shown is None else {"field": shown})
    assert not reading.unreadable


STORED: list[Any] = [
    *(None, True, 0, 1, -1, 5.0, 0.5, "", " A ", "1", "true", "null"),
    *([], [1], [1.0], ["A"], [None], [[1]], {}, {"A": 1}, {"1": 1.0}, {"b": ["A"], "a": []}),
]


@pytest.mark.parametrize(
    "kind",
    [
        *(str, int, bool, Any, str | None, Annotated[str, Field(max_length=3, pattern="A")]),
        *(
            Annotated[int, Field(ge=0, multiple_of=1)],
            list[str],
            list[int | None],
            list[Any],
            list[list[int]],
        ),
        *(
            dict[str, int],
            dict[str, Any],
            dict[str, list[str]] | None,
            Annotated[list[Any], Field(max_length=1)],
        ),
    ],
)
def test_f5_a_type_that_keeps_the_form_of_what_is_stored_reads_it_or_refuses_it(kind: Any) -> None:
    schema = schema_of(create_model("Holder", field=(kind, ...), other=(kind, None)))
    assert schema.changeable == ()
    for value in STORED:
        assert schema.read_again({"field": value, "other": value}, schema.fields).values == {}


@pytest.mark.parametrize(
    "kind",
    [
        *(float, set[str], tuple[int, ...], dt.date, Public, list[Public], dict[int, int], int | str, bytes),
        *(Annotated[str, StringConstraints(to_lower=True)], Annotated[str, AfterValidator(str.lower)]),
        *(
            list[Annotated[str, AfterValidator(str.lower)]],
            dict[Annotated[str, AfterValidator(str.lower)], int],
        ),
        *(Annotated[int, PlainSerializer(lambda n: n)], Annotated[list[str], AfterValidator(sorted)]),
    ],
)
def test_f5_other_types_may_change_it(kind: Any) -> None:
    assert schema_of(create_model("Holder", field=(kind, ...), n=(int, 0))).changeable == ("field",)


def test_f5_settings_of_the_model_may_change_it() -> None:
    class Stripping(BaseModel):
        model_config = ConfigDict(str_strip_whitespace=True)
        names: list[str] = []

    assert schema_of(Stripping).changeable == ("names",)


def test_f5_a_dump_of_a_view_has_what_is_read() -> None:
    class Today(BaseModel):
        mask: Annotated[str, AfterValidator(lambda text: "***" + text[-2:])] = ""
        low: Annotated[int, Field(le=10)] = 0

    schema = schema_of(Today)
    view = schema.merged_view({"mask": "SECRET", "low": 1})
    assert view.model_dump() == {"mask": "***ET", "low": 1}
    assert "SECRET" not in repr(view)
    assert to_json(schema.view(Today, {"mask": "SECRET"}), "") == {"mask": "***ET", "low": 0}
    with pytest.raises(StateValidationError, match="/low"):
        schema.merged_view({"mask": "SECRET", "low": 11}).model_dump()


def test_u5_a_stored_value_that_does_not_fit_any_more_tells_how_to_mend_it() -> None:
    class Strict(BaseModel):
        low: Annotated[int, Field(le=10)] = 0

    with pytest.raises(StateValidationError) as refused:
        _ = schema_of(Strict).view(Strict, {"low": 11}).low
    assert str(refused.value).startswith(
        "The stored session state does not fit its schema (any more): /low: "
    )
    assert "patch_state" in str(refused.value)
    assert "unset_state" in str(refused.value)
    assert "11" not in str(refused.value)


def test_f9_a_push_does_not_measure_by_the_clock_what_was_there_before(tmp_path: Path) -> None:
    class Plan(BaseModel):
        at: FutureDatetime

    class State(BaseModel):
        moments: list[FutureDatetime] = []
        plans: dict[str, Plan] = {}
        files: set[FilePath] = set()

        @model_validator(mode="after")
        def look(self) -> State:
            return self

    schema = schema_of(State)
    gone, old, new = "2020-01-01T00:00:00Z", str(tmp_path / "gone"), tmp_path / "new"
    new.touch()
    stored: JsonObject = {"moments": [gone], "plans": {"a": {"at": gone}}, "files": [old]}
    operations = (
        *op.push_state("moments", ["2999-01-01T00:00:00Z"]),
        *op.set_state_record("plans", "b", {"at": "2999-01-01T00:00:00Z"}),
        *op.push_state("files", [str(new)]),
    )
    state = apply(stored, operations, schema).checked(schema).state
    assert state["moments"] == [gone, "2999-01-01T00:00:00Z"]
    assert state["files"] == [old, str(new)]
    for refused in (
        op.push_state("moments", ["2021-01-01T00:00:00Z"]),
        op.set_state_record("plans", "b", {"at": "2021-01-01T00:00:00Z"}),
        op.push_state("files", [str(tmp_path / "never")]),
        op.push_state("moments", [1]),
    ):
        with pytest.raises(StateValidationError, match=r"/(moments/1|plans/b/at|files/1)"):
            apply(stored, refused, schema).checked(schema)


class Made(BaseModel):
    x: int = 0
    id: uuid.UUID = Field(default_factory=uuid.uuid4)


class Unmade(BaseModel):
    text: str
    tags: list[str] = Field(default_factory=list)


class Recursive(BaseModel):
    made: Made
    children: list[Recursive] = []


ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("kind", "value", "incomplete"),
    [
        (Made, {"x": 1}, True),
        (Made, {"x": 1, "id": ID}, False),
        (Made, {"x": 1, "gone": 2}, True),
        (Made | None, None, False),
        (dict[str, Made], {"a": {"id": ID}, "b": {}}, True),
        (dict[str, Made], {}, False),
        (tuple[int, Made], [1, {"x": 1}], True),
        (Made | Unmade, {"text": "x"}, False),
        (Made | Unmade, {"x": 1}, True),
        (Unmade, {"text": "x"}, False),
        (Recursive, {"made": {"id": ID}, "children": [{"made": {"id": ID}, "children": []}]}, False),
        (Recursive, {"made": {"id": ID}, "children": [{"made": {}, "children": []}]}, True),
        (dict[str, Any], {"x": 1}, False),
    ],
)
def test_f6_members_that_would_be_made_at_each_reading_are_found(
    kind: Any, value: Any, incomplete: bool
) -> None:
    schema = schema_of(create_model("Holder", field=(kind, ...)))
    assert schema.incomplete({"field": value}) == (("field",) if incomplete else ())
    assert schema.incomplete({}) == ()


def test_members_with_the_names_of_marks_count_like_others() -> None:
    hashes = set()
    for name in ("name", "anchor", "made", "other"):
        inner: Any = create_model("Inner", **cast(Any, {name: (int, ...)}))
        hashes.add(schema_of(create_model("Holder", field=(inner, ...))).hash)
    assert len(hashes) == 4
