"""A record is deleted by any text of its key under which it can be set."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated

import pytest
from pydantic import AfterValidator, BaseModel, StringConstraints

from flowstate_server.state import operations as op
from flowstate_server.state.apply import apply
from tests.unit.schemas.pydantic.checks import schema_of

LowerStr = Annotated[str, StringConstraints(to_lower=True, strip_whitespace=True)]
Coded = Annotated[str, AfterValidator(lambda key: key.strip().lower())]
ID = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


class State(BaseModel):
    lower: dict[LowerStr, int] = {}
    coded: dict[Coded, int] = {}
    ids: dict[uuid.UUID, int] | None = None
    numbers: dict[float, int] = {}
    days: dict[dt.date, int] = {}
    texts: dict[str, int] = {}


SCHEMA = schema_of(State)


@pytest.mark.parametrize(
    ("field", "key", "kept"),
    [
        ("lower", " A", "a"),
        ("coded", " A", "a"),
        ("ids", ID.upper(), ID),
        ("ids", uuid.UUID(ID), ID),
        ("numbers", "1", "1.0"),
        ("numbers", 1, "1.0"),
        ("days", "2026-01-02", "2026-01-02"),
        ("texts", "A", "A"),
    ],
)
def test_f3_a_record_is_deleted_by_the_key_it_was_set_by(field: str, key: object, kept: str) -> None:
    put = op.set_state_record(field, key, 1, SCHEMA.record_json)
    stored = apply({field: {"x": 0}} if field in ("lower", "coded", "texts") else {}, put, SCHEMA).checked(
        SCHEMA
    )
    records = stored.state[field]
    assert isinstance(records, dict)
    assert records[kept] == 1
    deleted = apply(stored.state, op.delete_state_record(field, key, SCHEMA.key_json), SCHEMA).checked(SCHEMA)
    assert deleted.state[field] == {name: value for name, value in records.items() if name != kept}


def test_f3_a_key_as_a_client_sends_it_is_that_of_the_normal_form() -> None:
    sent = (
        op.DeleteRecord(("lower",), " A"),
        op.DeleteRecord(("ids",), ID.upper()),
        op.DeleteRecord(("numbers",), "1"),
    )
    state = apply({"lower": {"a": 2, "b": 3}, "ids": {ID: 1}, "numbers": {"1.0": 1}}, sent, SCHEMA).state
    assert state == {"lower": {"b": 3}, "ids": {}, "numbers": {}}


def test_f3_a_key_that_does_not_fit_or_is_not_there_deletes_nothing() -> None:
    state = {"ids": {ID: 1}, "lower": {"a": 1}, "texts": {"a": 1}}
    sent = (
        op.DeleteRecord(("ids",), "no id"),
        op.DeleteRecord(("lower",), "b"),
        op.DeleteRecord(("texts",), "A"),
    )
    assert apply(state, sent, SCHEMA).state == state  # type: ignore[arg-type]
