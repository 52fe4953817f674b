"""What is remembered of how records read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel

from flowstate_server.engine.readings import Readings
from flowstate_server.model.json_values import encode_json
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import user_scope
from flowstate_server.schemas.reading import AS_STORED
from tests.unit.schemas.pydantic.checks import schema_of

calls: list[str] = []


def lower(text: str) -> str:
    calls.append(text)
    return text.lower()


class Kept(BaseModel):
    one: Annotated[str, AfterValidator(lower)] = ""
    other: Annotated[str, AfterValidator(lower)] = ""


SCHEMA = schema_of(Kept)


def record(version: int, **state: str) -> StateRecord:
    return StateRecord(user_scope("u1"), version=version, exists=True, text=encode_json({**state}))


def test_what_reads_as_it_is_stored_is_judged_once_for_each_version() -> None:
    readings = Readings()
    stored = record(1, one="a", other="b")
    calls.clear()
    for _ in range(3):
        assert readings.of(SCHEMA, stored, stored.state, SCHEMA.fields) == (AS_STORED, "")
        assert readings.shown(SCHEMA, stored) is stored.state
    assert sorted(calls) == ["a", "b"]
    stored = record(2, one="A", other="b")
    assert readings.shown(SCHEMA, stored) == {"one": "a", "other": "b"}
    assert "A" in calls


def test_what_differs_is_read_anew_and_not_kept() -> None:
    readings = Readings()
    stored = record(1, one="SECRET", other="b")
    told: list[frozenset[str]] = []

    def tell(names: frozenset[str]) -> str:
        told.append(names)
        return "err_1"

    for _ in range(2):
        calls.clear()
        reading, _ = readings.of(SCHEMA, stored, stored.state, SCHEMA.fields, tell)
        assert reading.values == {"one": "secret"}
    assert set(calls) == {"SECRET"}, "the other one reads as it is stored"
    assert "secret" not in repr(readings.__dict__).lower()
    assert readings.of(SCHEMA, stored, stored.state, ("other",)) == (AS_STORED, "")
    broken = StateRecord(user_scope("u1"), version=2, exists=True, text=b'{"one":1,"other":"B"}')
    for _ in range(2):
        reading, error_id = readings.of(SCHEMA, broken, broken.state, SCHEMA.fields, tell)
        assert reading.values == {"other": "b"}
        assert (reading.unreadable, error_id) == (frozenset({"one"}), "err_1")
    assert told == [frozenset({"one"})]
