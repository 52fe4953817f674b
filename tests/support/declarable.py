"""Types that can be declared as a field of a state, with values of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
import math
import re
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from hypothesis import HealthCheck, settings, strategies as st
from pydantic import (
    AnyUrl,
    AwareDatetime,
    Base64Bytes,
    Base64UrlBytes,
    BaseModel,
    BeforeValidator,
    Field,
    FutureDatetime,
    Json,
    JsonValue,
    NaiveDatetime,
    PastDate,
    PlainSerializer,
    StringConstraints,
    conlist,
    create_model,
)

from tests.support import declared_types as types

Values = st.SearchStrategy[Any]


@dataclasses.dataclass(frozen=True)
class Declarable:
    """``annotation`` of a field, and its ``values``.

    ``taken`` tells that every value must be; otherwise it may be refused, by the field's name. ``bare`` tells that the
    client can send it without a model around it. ``key`` tells that it can be a key of a map, ``hashable`` that it can
    be an element of a set.
    """

    title: str
    annotation: Any
    values: Values
    taken: bool = True
    bare: bool = True
    key: bool = False
    hashable: bool = True


def _moment(year: int) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{year:04}-01-01")


integers = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["", " a ", "é", "e\u0301", "~1/", "\x00", "null", "1", "1.0", "2026-01-01", "\U0001f600"]
)
floats = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [-0.0, 1e16, 5e-324, 1.0, 2.0**63]
)
zones = st.sampled_from(
    [dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30)), dt.timezone(-dt.timedelta(hours=3))]
)
naive = st.datetimes()
aware = st.datetimes(_moment(2), _moment(9998), timezones=zones)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.sampled_from(
    [Decimal("1E+3"), Decimal("-0"), Decimal("0.10"), Decimal("1e-20")]
)
spans = st.timedeltas(dt.timedelta(-100000), dt.timedelta(100000))
json_values = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(texts, inside, max_size=2),
    max_leaves=5,
)
inners = st.builds(types.Inner, text=texts, count=st.integers(-5, 5))
trees: Values = st.recursive(
    st.builds(types.Tree, value=floats),
    lambda inside: st.builds(
        types.Tree,
        value=floats,
        children=st.lists(inside, max_size=2),
        by_name=st.dictionaries(texts, inside, max_size=1),
    ),
    max_leaves=4,
)
pairs = st.builds(types.Pair, one=integers, two=st.dates())


def _untyped(*kinds: Any) -> Any:
    return kinds


def _leaf(title: str, annotation: Any, values: Values, **told: Any) -> Declarable:
    return Declarable(title, annotation, values, **told)


SCALARS = [
    _leaf("bool", bool, st.booleans(), key=True),
    _leaf("int", int, integers, key=True),
    _leaf("float", float, floats, key=True),
    _leaf("str", str, texts, key=True),
    _leaf("bytes", bytes, texts.map(str.encode), bare=False, key=True),
    _leaf("raw bytes", bytes, st.binary(max_size=5), taken=False, bare=False),
    _leaf("base64", Base64Bytes, st.binary(max_size=20), bare=False),
    _leaf("base64 url", Base64UrlBytes, st.binary(max_size=20), bare=False),
    _leaf("bytes | None", bytes | None, st.none() | texts.map(str.encode), bare=False),
    # No digits: behind a validator pydantic reads them as a number, in the client, which reads as pydantic does.
    _leaf("int | bytes", int | bytes, integers | st.sampled_from([b"", b"null", b"oops"]), bare=False),
    _leaf("Decimal", Decimal, decimals, key=True),
    _leaf("price", Annotated[Decimal, Field(ge=0, max_digits=8, decimal_places=2)],
          st.decimals(0, 999999, places=2)),
    _leaf("date", dt.date, st.dates(), key=True),
    _leaf("naive", dt.datetime, naive, key=True),
    _leaf("aware", dt.datetime, aware, key=True),
    _leaf("AwareDatetime", AwareDatetime, aware),
    _leaf("NaiveDatetime", NaiveDatetime, naive),
    _leaf("FutureDatetime", FutureDatetime, st.datetimes(_moment(2200))),
    _leaf("PastDate", PastDate, st.dates(max_value=dt.date(2020, 1, 1))),
    _leaf("time", dt.time, st.times() | st.times(timezones=zones), key=True),
    _leaf("timedelta", dt.timedelta, spans, key=True),
    _leaf("UUID", uuid.UUID, st.uuids(), key=True),
    _leaf("Path", Path, st.sampled_from([Path("/a"), Path("b/c"), Path(".")]), key=True),
    _leaf("IPv4", ipaddress.IPv4Address, st.ip_addresses(v=4), key=True),
    _leaf("IPv6 network", ipaddress.IPv6Network, st.just(ipaddress.ip_network("::/64"))),
    _leaf("AnyUrl", AnyUrl, st.sampled_from([AnyUrl("http://x.y/z?a=1"), AnyUrl("http://x.y")])),
    _leaf("Pattern", re.Pattern[str], st.sampled_from([re.compile("a+"), re.compile("")])),
    _leaf("Word", types.Word, st.sampled_from(types.Word), key=True),
    _leaf("Number", types.Number, st.sampled_from(types.Number)),
    _leaf("Mixed", types.Mixed, st.sampled_from(types.Mixed), key=False),
    _leaf("Level", types.Level, st.sampled_from(types.Level), key=True),
    _leaf("Name", types.Name, st.sampled_from(types.Name), key=True),
    _leaf("Flags", types.Flags, st.sampled_from([types.Flags(0), types.Flags(3), types.Flags.RUN])),
    _leaf("Literal", Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    _leaf("literal", Literal["a", "b"], st.sampled_from(["a", "b"]), key=True),
    _leaf("stripped", Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)],
          texts.map(lambda text: text.strip().lower()).filter(lambda text: text == text.strip().lower()), key=True),
    _leaf("short", Annotated[str, Field(max_length=5, pattern="^[^9]*$")], st.text("abc", max_size=5), key=True),
    _leaf("few", Annotated[int, Field(ge=0, lt=10)], st.integers(0, 9), key=True),
    _leaf("even", types.Even, st.integers(-9, 9).map(lambda number: number * 2)),
    _leaf("clamped", types.Clamped, st.integers(-9, 100)),
    _leaf("cents", types.Cents, decimals),
    _leaf("growing", types.Growing, texts, taken=False),
    _leaf("masked", Annotated[str, PlainSerializer(lambda text: "*" * len(text))], texts, taken=False),
    _leaf("Json", Json[list[int]], st.lists(integers, max_size=2), taken=False, hashable=False),
]  # fmt: skip

OBJECTS = [
    _leaf("Any", Any, json_values, hashable=False),
    _leaf("object", object, json_values, hashable=False),
    _leaf("JsonValue", JsonValue, json_values, hashable=False),
    _leaf("Inner", types.Inner, inners, hashable=False),
    _leaf("Frozen", types.Frozen, st.builds(types.Frozen, a=integers, day=st.dates())),
    _leaf("Tree", types.Tree, trees, hashable=False),
    _leaf("Base", types.Base, st.builds(types.Base, name=texts), hashable=False),
    _leaf("Computed", types.Computed, st.builds(types.Computed, width=integers), hashable=False),
    _leaf("Open", types.Open,
          st.builds(lambda more, known: types.Open(**{**more, "known": known}),
                    st.dictionaries(texts.filter(str.isidentifier), json_values, max_size=2), integers),
          hashable=False),
    _leaf("Closed", types.Closed, st.builds(types.Closed, known=integers), hashable=False),
    _leaf("Stripped", types.Stripped, st.builds(types.Stripped, text=st.text("aB ", max_size=4)), hashable=False),
    _leaf("Named", types.Named, st.builds(types.Named, word=st.sampled_from(types.Word)), hashable=False),
    _leaf("Encoded", types.Encoded,
          st.builds(types.Encoded, data=st.binary(max_size=4),
                    by_name=st.dictionaries(texts, st.binary(max_size=3), max_size=2)), hashable=False),
    _leaf("HalfEncoded", types.HalfEncoded, st.builds(types.HalfEncoded, data=st.binary(max_size=4)), taken=False,
          hashable=False),
    _leaf("Seconds", types.Seconds,
          st.builds(types.Seconds, span=spans), taken=False, hashable=False),
    _leaf("Loose", types.Loose, st.builds(types.Loose, text=texts), hashable=False),
    _leaf("Strict", types.Strict,
          st.builds(types.Strict, number=integers, when=st.none() | naive | aware, pair=st.tuples(integers, texts)),
          hashable=False),
    _leaf("Untold", types.Untold, st.builds(types.Untold, inside=json_values, some=json_values), hashable=False),
    _leaf("Wrapped", types.Wrapped, st.builds(types.Wrapped, one=integers, two=integers), taken=False, hashable=False),
    _leaf("Masked", types.Masked, st.builds(types.Masked, number=texts), taken=False, hashable=False),
    _leaf("Shortened", types.Shortened, st.builds(types.Shortened, a=st.integers(0, 2), b=st.integers(0, 2)),
          taken=False, hashable=False),
    _leaf("Checked", types.Checked,
          st.builds(lambda low, more: types.Checked(low=low, high=max(low, 0) + more),
                    st.integers(-5, 5), st.integers(0, 5)), hashable=False),
    _leaf("Numbers", types.Numbers, st.builds(types.Numbers, st.lists(integers, max_size=3)), hashable=False),
    _leaf("Index", types.Index,
          st.builds(types.Index, st.dictionaries(st.dates(), st.sets(integers, max_size=3), max_size=2)),
          hashable=False),
    _leaf("Point", types.Point, st.builds(types.Point, x=integers, tags=st.sets(texts, max_size=3)), hashable=False),
    _leaf("Spot", types.Spot, st.builds(types.Spot, x=integers, level=st.sampled_from(types.Level))),
    _leaf("Box", types.Box, st.builds(types.Box, when=naive | aware, price=st.decimals(0, 99, places=2)),
          hashable=False),
    _leaf("Pair", types.Pair, pairs),
    _leaf("Blob", types.Blob, st.builds(types.Blob, data=texts.map(str.encode)), bare=False, hashable=False),
    _leaf("EncodedBlob", types.EncodedBlob, st.builds(types.EncodedBlob, data=st.binary(max_size=4)), hashable=False),
    _leaf("Movie", types.Movie,
          st.fixed_dictionaries({"title": texts}, optional={"year": integers, "days": st.sets(st.dates(), max_size=2)}),
          hashable=False),
    _leaf("Partial", types.Partial,
          st.fixed_dictionaries({}, optional={"a": integers, "b": texts.map(str.encode)}),
          bare=False, hashable=False),
    _leaf("tagged", Annotated[types.Cat | types.Dog, Field(discriminator="kind")],
          st.builds(types.Cat, lives=integers) | st.builds(types.Dog, name=texts.map(str.encode)), hashable=False),
    _leaf("Cat | Dog", types.Cat | types.Dog,
          st.builds(types.Cat, lives=integers) | st.builds(types.Dog, name=texts.map(str.encode)), hashable=False),
    _leaf("int | list[str] | None", int | list[str] | None, st.none() | integers | st.lists(texts, max_size=2),
          hashable=False),
    _leaf("bool | int", bool | int, st.booleans() | integers),
    _leaf("int | float", int | float, integers | floats),
    _leaf("date | datetime", dt.date | dt.datetime, st.dates() | naive),
    _leaf("Decimal | float", Decimal | float, decimals | floats),
    _leaf("Base | Derived", types.Base | types.Derived,
          st.builds(types.Base, name=texts) | st.builds(types.Derived, name=texts, extra=integers), hashable=False),
    _leaf("Spot | Frozen", types.Spot | types.Frozen,
          st.builds(types.Spot, x=integers) | st.builds(types.Frozen, a=integers)),
]  # fmt: skip

scalars = st.sampled_from(SCALARS)
leaves = scalars | st.sampled_from(OBJECTS)


# Of types that are known at run time alone.
ANNOTATED, LIST, DEQUE, SEQUENCE, TUPLE, SET, FROZENSET, HOLDING = _untyped(
    Annotated, list, deque, Sequence, tuple, set, frozenset, types.Holding
)
DICT, MAPPING, ORDERED, DEFAULTDICT, COUNTER = _untyped(dict, Mapping, OrderedDict, defaultdict, Counter)


def _lists(of: Declarable) -> list[Declarable]:
    lists = st.lists(of.values, max_size=3)
    return [
        _of("list", LIST[of.annotation], lists, of),
        _of("deque", DEQUE[of.annotation], lists.map(deque), of),
        _of("Sequence", SEQUENCE[of.annotation], lists, of),
        _of("tuple...", TUPLE[of.annotation, ...], lists.map(tuple), of, hashable=of.hashable),
        _of("tuple2", TUPLE[of.annotation, int], st.tuples(of.values, integers), of, hashable=of.hashable),
        _of("short list", conlist(of.annotation, max_length=3), lists, of),
        _of("short deque", ANNOTATED[DEQUE[of.annotation], Field(max_length=3)],
            lists.map(lambda items: deque(items, 3)), of),
    ]  # fmt: skip


def _sets(of: Declarable) -> list[Declarable]:
    elements = st.lists(of.values, max_size=4)
    return [
        _of("set", SET[of.annotation], elements.map(set), of),
        _of("frozenset", FROZENSET[of.annotation], elements.map(frozenset), of, hashable=True),
    ]


def _maps(key: Declarable, of: Declarable) -> list[Declarable]:
    dicts = st.dictionaries(key.values, of.values, max_size=3)
    lists = st.dictionaries(key.values, st.lists(of.values, max_size=2), max_size=2)
    counts = st.dictionaries(key.values, st.integers(0, 9), max_size=3)
    title = key.title
    both = dataclasses.replace(of, bare=of.bare and key.bare)
    return [
        _of(f"dict({title})", DICT[key.annotation, of.annotation], dicts, both),
        _of(f"Mapping({title})", MAPPING[key.annotation, of.annotation], dicts, both),
        _of(f"OrderedDict({title})", ORDERED[key.annotation, of.annotation], dicts.map(OrderedDict), both),
        _of(f"defaultdict({title})", DEFAULTDICT[key.annotation, LIST[of.annotation]],
            lists.map(lambda made: defaultdict(list, made)), both),
        _of(f"Counter({title})", COUNTER[key.annotation], counts.map(Counter), both),
    ]  # fmt: skip


def _objects(of: Declarable, other: Declarable) -> list[Declarable]:
    few = st.lists(of.values, max_size=2)
    by_name = st.dictionaries(texts, of.values, max_size=2)
    generic: Any = HOLDING[of.annotation]
    deeper: Any = HOLDING[LIST[of.annotation]]
    model: Any = create_model("Made", a=(of.annotation, ...), b=(other.annotation, ...))
    held: Any = dataclasses.make_dataclass("Held", [("a", of.annotation), ("b", LIST[of.annotation])])
    both = dataclasses.replace(of, taken=of.taken and other.taken)
    # As they are read: validators have run on what they hold.
    return [
        _of("Generic", generic,
            st.builds(generic.model_construct, one=of.values, others=few, by_name=by_name), of, bare=True),
        _of("Generic list", deeper,
            st.builds(deeper.model_construct, one=few, others=st.lists(few, max_size=1), by_name=st.just({})), of,
            bare=True),
        _of(f"Made({other.title})", model, st.builds(model.model_construct, a=of.values, b=other.values), both,
            bare=True),
        # Pydantic encodes these bytes once more where a configuration around the dataclass says so.
        _of("Held", held, st.builds(held, a=of.values, b=few), of, bare=of.bare and "base64" not in of.title),
    ]  # fmt: skip


def _wrapped(of: Declarable) -> list[Declarable]:
    ahead = ANNOTATED[of.annotation, BeforeValidator(lambda value: value)]
    return [
        _of("Optional", of.annotation | None, st.none() | of.values, of, hashable=of.hashable),
        _of("ahead", ahead, of.values, of, hashable=of.hashable),
    ]


def _of(title: str, annotation: Any, values: Values, of: Declarable, **told: Any) -> Declarable:
    told = {"bare": of.bare, "hashable": False, **told}
    return Declarable(f"{title}[{of.title}]", annotation, values, of.taken, **told)


@st.composite
def declarables(draw: st.DrawFn, depth: int = 2) -> Declarable:
    """A type and its values, ``depth`` levels deep at most."""
    kind = draw(st.integers(0, 4)) if depth else 4
    if kind == 4:
        return draw(leaves)
    of = draw(declarables(depth - 1))
    if kind == 0:
        return draw(st.sampled_from([*_lists(of), *(_sets(of) if of.hashable else [])]))
    if kind == 1:
        return draw(st.sampled_from(_maps(draw(scalars.filter(lambda one: one.key)), of)))
    if kind == 2:
        return draw(st.sampled_from(_objects(of, draw(leaves))))
    return draw(st.sampled_from(_wrapped(of)))


def examples(count: int, *, derandomize: bool = True) -> settings:
    """So many examples, the same each time, however long one takes on a busy machine."""
    return settings(
        max_examples=count,
        derandomize=derandomize,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types at every depth."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, BaseModel):
        mine, others = _members(one), _members(other)
        return mine.keys() == others.keys() and all(same(value, others[name]) for name, value in mine.items())
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, Mapping):
        return (
            len(one) == len(other)
            and all(key in other for key in one)
            and {(type(key), key) for key in one} == {(type(key), key) for key in other}
            and all(same(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(same(item, found) for found in other) for item in one)
    return bool(one == other)


def _members(value: BaseModel) -> dict[str, Any]:
    if type(value).__pydantic_root_model__:
        return {"root": value.root}  # type: ignore[attr-defined]
    return {**{name: getattr(value, name) for name in type(value).model_fields}, **(value.model_extra or {})}
