"""What views hand out for lists, dicts, sets and nested models."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, ConfigDict, RootModel, TypeAdapter

from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.pydantic.merge import Declaration, merge_declarations
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.state import operations as op


class Part(BaseModel):
    n: int = 0
    tags: list[str] = []


class TextPart(Part):
    text: str = ""


class Ids(RootModel[list[int]]):
    pass


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")


class State(BaseModel):
    tags: list[str] = []
    m: dict[str, int] = {}
    days: dict[dt.date, list[int]] = {}
    rows: list[dict[str, Any]] = []
    parts: list[Part | TextPart] = []
    by_name: dict[str, Part] = {}
    sub: Part = Part()
    seen: set[str] = set()
    pair: tuple[str, list[int]] = ("", [])
    ids: Ids = Ids([])
    fixed: Frozen = Frozen(name="a")
    loose: Loose = Loose()


SCHEMA = merge_declarations(ScopeKind.SESSION, [Declaration(State, "State")])
STORED: Any = {
    "tags": ["a", "b"],
    "m": {"a": 1},
    "days": {"2026-01-02": [1]},
    "rows": [{"x": [1]}, {"x": [2]}],
    "parts": [{"n": 1, "tags": [], "text": "t"}, {"n": 2, "tags": ["p"]}],
    "by_name": {"k": {"n": 3, "tags": ["q"]}},
    "sub": {"n": 4, "tags": ["s"]},
    "seen": ["z"],
    "pair": ["one", [1]],
    "ids": [7],
    "fixed": {"name": "f"},
}


def view(*, in_change: bool = False) -> State:
    return SCHEMA.view(State, STORED, in_change=in_change)


def nested(state: Any) -> list[Callable[[], object]]:
    day = dt.date(2026, 1, 2)
    return [
        lambda: state.m.update(a=2),
        lambda: state.m.pop("a"),
        state.m.clear,
        lambda: state.m.__delitem__("a"),
        lambda: state.m.__ior__({"b": 2}),
        lambda: state.tags.__setitem__(0, "q"),
        lambda: state.tags.__delitem__(0),
        lambda: state.tags.__iadd__(["q"]),
        state.tags.sort,
        state.tags.clear,
        lambda: state.days[day].append(2),
        lambda: state.days.setdefault(day, []).append(2),
        lambda: state.rows[0]["x"].append(3),
        lambda: state.rows[-1].update(y=1),
        lambda: [row.clear() for row in state.rows],
        lambda: [row.clear() for row in reversed(state.rows)],
        lambda: [row.clear() for row in state.rows[1:]],
        lambda: [row.clear() for row in sorted(state.rows, key=str)],
        lambda: [days.append(1) for days in state.days.values()],
        lambda: [days.append(1) for _, days in state.days.items()],
        lambda: setattr(state.parts[0], "n", 5),
        lambda: state.parts[1].tags.append("x"),
        lambda: setattr(state.by_name["k"], "n", 5),
        lambda: setattr(state.by_name.get("k"), "n", 5),
        lambda: setattr(state.sub, "n", 5),
        lambda: delattr(state.sub, "n"),
        lambda: state.sub.tags.append("x"),
        lambda: state.seen.add("y"),
        lambda: state.seen.__ior__({"y"}),
        lambda: state.pair[1].append(2),
        lambda: state.ids.root.append(8),
        lambda: setattr(state.fixed, "name", "b"),
        lambda: setattr(state.loose, "anything", 1),
    ]


@pytest.mark.parametrize("number", range(33))
@pytest.mark.parametrize("merged", [False, True])
def test_changes_in_place_are_refused(number: int, merged: bool) -> None:
    state: Any = SCHEMA.merged_view(STORED) if merged else view()
    changes = nested(state)
    assert len(changes) == 33
    with pytest.raises((TypeError, AttributeError), match="read-only"):
        changes[number]()
    assert state == view().model_dump(mode="json") if merged else state == view()


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda s: s.tags.append("q"), r"push_state\('tags', ...\)"),
        (lambda s: s.m.__setitem__("a", 1), r"set_state_record\('m', key, value\)"),
        (lambda s: s.m.pop("a"), r"delete_state_record\('m', key\)"),
        (lambda s: s.tags.sort(), r"patch_state\(tags=...\)"),
        (lambda s: s.rows[0].update(x=1), r"patch_state\(rows=...\), with a changed copy"),
        (lambda s: s.sub.tags.append("q"), r"patch_state\(sub=...\), with a changed copy"),
        (lambda s: s.__setattr__("tags", []), r"patch_state\(tags=...\)"),
        (lambda s: s.__setitem__("tags", []), r"patch_state\(tags=...\)"),
    ],
)
def test_the_operation_to_use_is_named(change: Callable[[Any], object], advice: str) -> None:
    with pytest.raises((TypeError, AttributeError), match=r"ctx\.session\." + advice):
        change(view())
    with pytest.raises((TypeError, AttributeError), match=r"atomic_state is read-only.* return what changes"):
        change(view(in_change=True))


def test_a_view_is_no_dict() -> None:
    state: Any = view()
    with pytest.raises(TypeError, match="as attributes"):
        state["tags"]


def test_what_is_read_is_the_value() -> None:
    state = view()
    plain = State.model_validate(STORED)
    for name in State.model_fields:
        value, expected = getattr(state, name), getattr(plain, name)
        assert value is getattr(state, name)
        assert isinstance(value, type(expected))
        assert (value, expected) == (expected, value)
        assert repr(value) == repr(expected)
    assert state.rows[0] is state.rows[0]
    assert state.sub == view().sub
    assert state.sub != Part(n=5)
    assert hash(state.fixed) == hash(Frozen(name="f"))
    assert state.parts[-1] is state.parts[1]
    assert state.rows + [{}] == [*STORED["rows"], {}]  # noqa: RUF005
    assert [{}] + view().rows == [{}, *STORED["rows"]]  # noqa: RUF005
    assert state.days | {} == {} | state.days == {**state.days} == dict(state.days)
    assert state.seen | {"y"} == state.seen.union("y") == {"y", "z"}
    match state.sub:
        case Part(n=n, tags=[tag]):
            assert (n, tag) == (4, "s")
        case _:
            raise AssertionError


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("name", State.model_fields)
def test_copies_are_ordinary_values(name: str, read_before: bool) -> None:
    expected = getattr(State.model_validate(STORED), name)
    value = getattr(view(), name)
    if read_before:
        repr(list(value)) if name != "fixed" else None
    for made in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), view().model_copy().__dict__[name]):
        assert type(made) is type(expected)
        assert made == expected
    assert type(copy.copy(value)) is type(expected)
    if isinstance(value, list | dict | set):
        assert type(type(expected)(value)) is type(value.copy()) is type(expected)


def test_deep_copies_can_be_changed() -> None:
    state = view()
    rows = copy.deepcopy(state.rows)
    rows[0]["x"].append(9)
    sub = state.sub.model_copy(update={"n": 5})
    sub.tags.append("x")
    part = copy.deepcopy(state.parts[0])
    part.n = 6
    whole = state.model_copy(update={"m": {}})
    whole.by_name["k"].tags.append("x")
    assert (rows[0]["x"], sub, part.n, whole.m) == ([1, 9], Part(n=5, tags=["s", "x"]), 6, {})
    assert state == view()


@pytest.mark.parametrize("read_before", [False, True])
def test_whatever_writes_values_writes_these(read_before: bool) -> None:
    state = view()
    if read_before:
        assert list(state.rows)
        assert list(state.parts)
        assert list(state.by_name.values())
    plain = State.model_validate(STORED)
    assert state.model_dump() == plain.model_dump()
    assert state.sub.model_dump() == {"n": 4, "tags": ["s"]}
    assert state.sub.model_dump_json() == '{"n":4,"tags":["s"]}'
    assert orjson.loads(orjson.dumps(state.rows)) == json.loads(json.dumps(state.rows)) == STORED["rows"]
    assert to_json([state.sub, state.by_name], "") == [STORED["sub"], STORED["by_name"]]
    assert to_json([*state.parts, *state.rows], "") == [*plain.model_dump()["parts"], *STORED["rows"]]
    assert op.patch_state({"tags": [*state.tags, "q"]}, to_json)[0] == op.Merge((), {"tags": ["a", "b", "q"]})
    assert op.push_state("rows", state.rows, to_json)[0] == op.Append(("rows",), tuple(STORED["rows"]))
    for kind, value in (
        (list[dict[str, Any]], state.rows),
        (Part, state.sub),
        (Any, [state.sub, state.rows]),
    ):
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        dumped = adapter.dump_python(value, mode="json", warnings="error")
        assert dumped == orjson.loads(orjson.dumps(to_json(value, "")))
        assert adapter.validate_python(value) == value
    again = State.model_validate({"sub": state.sub, "rows": state.rows, "m": state.m, "seen": state.seen})
    assert (again.sub, again.rows, again.m, again.seen) == (state.sub, state.rows, state.m, state.seen)
    again.rows.append({})
    again.m["b"] = 2


def test_what_authors_share_stays_as_it_is() -> None:
    shared = Part(n=1)

    class Sharing(BaseModel):
        part: Part = shared

    made = merge_declarations(ScopeKind.USER, [Declaration(Sharing, "Sharing")]).view(Sharing, {}).part
    with pytest.raises(AttributeError, match=r"ctx\.user\.patch_state"):
        made.n = 2
    shared.n = 3
    assert made.n == 1


def test_hooks_of_models_do_not_see_the_classes_of_views() -> None:
    seen: list[str] = []

    class Base(BaseModel):
        def __init_subclass__(cls, **options: Any) -> None:
            seen.append(cls.__name__)

    class Child(Base):
        a: int = 1
        _kept: int = 0

        def keep(self) -> int:
            self._kept += 1
            return self._kept

    class Holder(BaseModel):
        child: Child

    state = merge_declarations(ScopeKind.USER, [Declaration(Holder, "Holder")]).view(Holder, {"child": {}})
    assert (state.child.a, state.child.keep(), state.child.keep()) == (1, 1, 2)
    assert seen == ["Child"]
