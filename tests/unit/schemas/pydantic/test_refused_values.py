"""Python values that would be stored as other values, which are refused by the name of their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from flowstate_server.errors import JsonInvalidError, StateValidationError
from flowstate_server.state import operations as op
from tests.unit.schemas.pydantic.checks import schema_of


class Counts(BaseModel):
    counts: dict[str, int] = {}


class Counted(BaseModel):
    counts: dict[str, int] = {}
    inside: Counts = Counts()
    loose: Any = None


@pytest.mark.parametrize(
    "keys", [dict.fromkeys(("\ud800", "\ud801"), 1), {"\ud800": 1, "\ufffd\ufffd\ufffd": 2}]
)
def test_f8_keys_with_lone_surrogates_are_refused_by_name(keys: dict[str, int]) -> None:
    schema = schema_of(Counted)
    written: list[tuple[dict[str, object], str]] = [
        ({"counts": keys}, "/counts"),
        ({"inside": Counts(counts=keys)}, "/inside/counts"),
        ({"inside": {"counts": keys}}, "/inside/counts"),
        ({"loose": [Counts(counts=keys)]}, "/loose/0/counts"),
    ]
    for fields, path in written:
        with pytest.raises(JsonInvalidError, match="lone surrogate") as refused:
            op.patch_state(fields, schema.fields_json)
        assert refused.value.path == path
    with pytest.raises(JsonInvalidError, match="lone surrogate"):
        op.set_state_record("counts", "\ud800", 1, schema.record_json)
    with pytest.raises(JsonInvalidError, match="lone surrogate"):
        op.delete_state_record("counts", "\ud800", schema.key_json)


class Filter(BaseModel):
    pattern: re.Pattern[str] = re.compile("a")
    raw: list[re.Pattern[bytes]] = []


def test_f8_a_pattern_with_flags_is_refused_by_name() -> None:
    class State(BaseModel):
        inside: Filter = Filter()
        pattern: re.Pattern[str] = re.compile("a")

    schema = schema_of(State)
    flagged = re.compile("a", re.IGNORECASE)
    written: list[tuple[dict[str, object], str]] = [
        ({"pattern": flagged}, "/pattern"),
        ({"inside": Filter(pattern=flagged)}, "/inside/pattern"),
        ({"inside": Filter(raw=[re.compile(b"a"), re.compile(b"a", re.DOTALL)])}, "/inside/raw/1"),
    ]
    for fields, path in written:
        with pytest.raises(JsonInvalidError, match="flags") as refused:
            op.patch_state(fields, schema.fields_json)
        assert refused.value.path == path
    (plain,) = op.patch_state({"pattern": re.compile("(?i)a")}, schema.fields_json)
    assert plain == op.Merge((), {"pattern": "(?i)a"})


class Lists(BaseModel):
    names: list[str] = []


class Copied(BaseModel):
    names: list[str] = []
    several: Sequence[str] = []
    inside: Lists = Lists()
    by_key: dict[str, list[str]] = {}


@pytest.mark.parametrize("make", [lambda: (x for x in "ab"), {"a": 1}.values, lambda: iter("ab")])
def test_f8_what_can_not_be_copied_is_refused_by_its_field(make: Callable[[], object]) -> None:
    schema = schema_of(Copied)
    written: list[tuple[dict[str, object], str]] = [
        ({"names": make()}, "/names"),
        ({"names": {"a": 1}.keys()}, "/names"),
        ({"several": make()}, "/several"),
        ({"inside": {"names": make()}}, "/inside/names"),
        ({"inside": Lists.model_construct(names=make())}, "/inside"),  # type: ignore[arg-type]
        ({"by_key": {"a": make()}}, "/by_key/a"),
    ]
    for fields, path in written:
        with pytest.raises((JsonInvalidError, StateValidationError), match=path):
            op.patch_state(fields, schema.fields_json)
    with pytest.raises(JsonInvalidError, match=r"^/by_key/a: "):
        op.set_state_record("by_key", "a", make(), schema.record_json)
    with pytest.raises(JsonInvalidError, match=r"^/names: "):
        op.push_state("names", [make()], schema.element_json)
