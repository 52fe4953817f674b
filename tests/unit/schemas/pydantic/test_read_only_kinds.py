"""What views hand out for deques, dataclasses, named tuples and the rarer maps: equal, of its type, and read-only."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel, TypeAdapter, dataclasses as pydantic_dataclasses

from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from tests.unit.schemas.pydantic.checks import schema_of


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str] = dataclasses.field(default_factory=list)

    def moved(self) -> Point:
        return dataclasses.replace(self, x=self.x + 1)


@dataclasses.dataclass(frozen=True, slots=True)
class Spot:
    at: Point
    names: list[str]


@pydantic_dataclasses.dataclass
class Box:
    points: dict[str, Point]


class Pair(NamedTuple):
    one: int
    names: list[str]


class State(BaseModel):
    queue: deque[list[int]] = deque()
    point: Point = Point(0)
    points: list[Point] = []
    spot: Spot | None = None
    box: Box | None = None
    pair: Pair | None = None
    ordered: OrderedDict[str, list[int]] = OrderedDict()
    grouped: defaultdict[str, list[int]] = defaultdict(list)
    counts: Counter[str] = Counter()


SCHEMA = schema_of(State)
VALUES: dict[str, Any] = {
    "queue": deque([[1], [2]]),
    "point": Point(1, ["a"]),
    "points": [Point(1, ["a"])],
    "spot": Spot(Point(1), ["a"]),
    "box": Box({"a": Point(1)}),
    "pair": Pair(1, ["a"]),
    "ordered": OrderedDict(b=[1], a=[2]),
    "grouped": defaultdict(list, {"a": [1]}),
    "counts": Counter(a=2),
}
STORED = apply({}, op.patch_state(VALUES, SCHEMA.fields_json), SCHEMA).checked(SCHEMA).state

CHANGES: list[Callable[[Any], object]] = [
    lambda state: state.queue.append([3]),
    lambda state: state.queue.popleft(),
    lambda state: state.queue.rotate(),
    lambda state: state.queue[0].append(3),
    lambda state: state.queue.__setitem__(0, [1]),
    lambda state: setattr(state.point, "x", 2),
    lambda state: delattr(state.point, "x"),
    lambda state: state.point.tags.append("b"),
    lambda state: setattr(state.points[0], "x", 2),
    lambda state: setattr(state.spot, "names", []),
    lambda state: setattr(state.spot.at, "x", 2),
    lambda state: state.spot.names.append("b"),
    lambda state: setattr(state.box.points["a"], "x", 2),
    lambda state: state.box.points.pop("a"),
    lambda state: state.pair.names.append("b"),
    lambda state: state.ordered.update(c=[1]),
    lambda state: state.ordered.move_to_end("b"),
    lambda state: state.ordered["a"].append(1),
    lambda state: state.grouped.__setitem__("b", []),
    lambda state: state.grouped["b"].append(1),
    lambda state: state.counts.update("a"),
    lambda state: state.counts.subtract("a"),
    lambda state: state.counts.pop("a"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("merged", [False, True])
def test_changes_in_place_are_refused(change: Callable[[Any], object], merged: bool) -> None:
    view: Any = SCHEMA.merged_view(STORED) if merged else SCHEMA.view(State, STORED)
    with pytest.raises((TypeError, AttributeError), match="read-only"):
        change(view)
    assert {name: getattr(view, name) for name in VALUES} == VALUES


@pytest.mark.parametrize("name", VALUES)
def test_what_is_read_is_the_value_and_can_be_written_back(name: str) -> None:
    read = getattr(SCHEMA.view(State, STORED), name)
    value = VALUES[name]
    assert read == value
    assert value == read
    assert isinstance(read, type(value))
    assert repr(read) == repr(value)
    state = apply(STORED, op.patch_state({name: read}, SCHEMA.fields_json), SCHEMA).checked(SCHEMA).state
    assert state == STORED
    kind: Any = State.model_fields[name].annotation
    assert TypeAdapter(kind).dump_json(read) == TypeAdapter(kind).dump_json(value)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("make", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_ordinary_values(name: str, make: Callable[[Any], Any]) -> None:
    made = make(getattr(SCHEMA.view(State, STORED), name))
    assert made == VALUES[name]
    assert type(made) is type(VALUES[name])
    assert type(getattr(SCHEMA.view(State, STORED).model_copy(), name)) is type(VALUES[name])


def test_what_can_be_done_with_values_can_be_done_with_these() -> None:
    view = SCHEMA.view(State, STORED)
    assert type(view.point.moved()) is Point
    assert view.point.moved() == Point(2, ["a"])
    assert dataclasses.asdict(view.point) == {"x": 1, "tags": ["a"]}
    assert type(copy.copy(view.point)) is Point
    assert view.queue + deque([[3]]) == deque([[1], [2], [3]])
    assert type(view.queue.copy()) is deque
    assert view.counts + Counter(a=1) == Counter(a=3)
    assert view.grouped["missing"] == []
    assert "missing" not in view.grouped
    assert list(view.ordered) == ["b", "a"]
    assert State().point == Point(0), "defaults stay as they are"
