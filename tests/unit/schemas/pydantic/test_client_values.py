"""Each Python type that the client takes, to each type of a field, by every operation, with a model for the handle and
without: it is stored as by a block and reads as it was written, or is refused by the field's name."""

from __future__ import annotations

import copy
import datetime as dt
import ipaddress
import re
import uuid
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import AnyUrl, Base64Bytes, ConfigDict, JsonValue, TypeAdapter, create_model

from flowstate_client.proof import bytes_and_sets_in
from flowstate_server.errors import JsonInvalidError, StateValidationError
from flowstate_server.schemas.pydantic.core_schemas import takes_anything
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state import operations as op
from flowstate_server.state.operations import Operation
from tests.support import declared_types as types
from tests.support.declarable import same
from tests.support.sent import Sent, written
from tests.unit.schemas.pydantic.checks import schema_of

DAY = dt.date(2026, 1, 2)
VALUES: list[Any] = [
    *(None, True, 1, 1.5, "text", "YWJj", "2026-01-02", b"YWJj", b"", bytearray(b"YWJj"), Decimal("1.50")),
    *(
        DAY,
        dt.datetime.fromisoformat("2026-01-02"),
        dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC),
        dt.time(1),
        dt.timedelta(1),
    ),
    *(uuid.UUID(int=1), Path("/a"), ipaddress.ip_address("::1"), AnyUrl("http://x.y/z"), re.compile("a+")),
    *(types.Word.ONE, types.Number.HALF, types.Mixed.TEXT, types.Level.LOW, types.Name.ADA),
    *([1], (1,), {1}, frozenset({1}), deque([1]), [b"YWJj"], (b"YWJj",), {b"YWJj"}, [DAY], {DAY}),
    *({"a": 1}, {1: 1}, {uuid.UUID(int=1): 1}, {DAY: DAY}, {b"YWJj": 1}, {"a": b"YWJj"}),
    *(types.Inner(text="a"), types.Point(1, {"b", "a"}), types.Pair(1, DAY), types.Numbers([1])),
    *(types.Dog(name=b"YWJj"), types.Encoded(data=b"YWJj"), types.Blob(b"YWJj"), types.EncodedBlob(b"YWJj")),
    *(types.Untold(inside=b"YWJj"), types.Untold(inside={1}), types.Untold(inside=DAY)),
]
TYPES: list[Any] = [
    *(bool, int, float, str, bytes, Base64Bytes, Decimal, dt.date, dt.datetime, dt.time, dt.timedelta),
    *(uuid.UUID, Path, ipaddress.IPv6Address, AnyUrl, re.Pattern[str]),
    *(types.Word, types.Number, types.Mixed, types.Level, types.Name),
    *(
        list[int],
        set[int],
        frozenset[int],
        deque[int],
        tuple[int, ...],
        list[bytes],
        set[bytes],
        tuple[bytes, ...],
    ),
    *(list[dt.date], set[dt.date], list[Any], list[Base64Bytes]),
    *(dict[str, int], dict[int, int], dict[uuid.UUID, int], dict[dt.date, dt.date], dict[bytes, int]),
    *(dict[str, bytes], dict[str, Any], Any, object, JsonValue, Any | dt.date, dt.date | Any, bytes | None),
    *(bytes | list[bytes], int | float, types.Inner, types.Point, types.Pair, types.Numbers, types.Dog),
    *(types.Encoded, types.Blob, types.EncodedBlob, types.Untold),
]
CONFIGS = {
    "plain": ConfigDict(),
    "base64": ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"),
    "numbers": ConfigDict(ser_json_timedelta="float", ser_json_inf_nan="strings"),
}
REFUSALS = (ValueError, StateValidationError, JsonInvalidError)
Operations = tuple[Operation, ...]


def by_blocks(value: Any, schema: ModelSchema) -> Iterator[Any]:
    yield lambda: op.patch_state({"held": value}, schema.fields_json)
    yield lambda: op.push_state("several", [value], schema.element_json)
    yield lambda: op.set_state_record("by_name", "a", value, schema.record_json)


def by_clients(value: Any, sent: Sent) -> Iterator[Any]:
    yield lambda: sent.patch_state({"held": value})
    yield lambda: sent.push_state("several", value)
    yield lambda: sent.set_state_record("by_name", "a", value)


def stored(write: Any, schema: ModelSchema) -> Any:
    """What is stored, ``None`` if it is refused."""
    try:
        return written({}, write(), schema)[0]
    except REFUSALS as refusal:
        if not re.search("/(held|several|by_name)", str(refusal)):
            raise AssertionError("refused, and not by the field's name") from refusal
        return None


def is_of(value: Any, annotation: Any, config: ConfigDict) -> bool:
    """Whether the type is of such values, not of what may be JSON."""
    if takes_anything(cast(Any, TypeAdapter(annotation).core_schema), {}):
        return isinstance(value, types.Untold) and not isinstance(value.inside, dt.date)
    listed: Any = list
    try:
        (read,) = TypeAdapter(listed[annotation], config=config).validate_python([value], strict=True)
    except ValueError:
        return False
    return same(read, value)


def held(state: dict[str, Any], model: Any, schema: ModelSchema) -> Any:
    (name,) = state
    read = copy.deepcopy(getattr(schema.view(model, state), name))
    return {"held": lambda: read, "several": lambda: read[0], "by_name": lambda: read["a"]}[name]()


@pytest.fixture(autouse=True)
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value is refused since the machine is busy."""
    monkeypatch.setattr("flowstate_server.state.code_time.MOST_SECONDS", 60)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_f3_a_client_writes_as_a_block_or_is_refused(annotation: Any, config: ConfigDict) -> None:
    listed, by_name = list[annotation], dict[str, annotation]
    fields: Any = {"held": annotation, "several": listed, "by_name": by_name}
    kinds: dict[str, Any] = {name: (kind, ...) for name, kind in fields.items()}
    model: Any = create_model("State", __config__=config, **kinds)
    schema = schema_of(model)
    for value in VALUES:
        of_the_type = is_of(value, annotation, config)
        for typed in (True, False):
            ways = zip(
                by_blocks(value, schema), by_clients(value, Sent(model if typed else None)), strict=True
            )
            for by_block, by_client in ways:
                mine, others = stored(by_client, schema), stored(by_block, schema)
                place = (value, annotation, typed, mine, others)
                if mine is None:
                    assert not of_the_type or others is None or (bytes_and_sets_in(value) and not typed), (
                        place
                    )
                    continue
                if others is not None and (of_the_type or typed or not bytes_and_sets_in(value)):
                    assert mine == others, place  # a model of another type says itself how it writes bytes
                if of_the_type:
                    assert same(held(mine, model, schema), value), place
