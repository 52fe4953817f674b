"""Keys of maps: refused when the flow is built where JSON, which has texts alone, does not keep them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, create_model

from flowstate_server.errors import FlowDefinitionError, JsonInvalidError
from flowstate_server.state import operations as op
from tests.support.declared_types import Word
from tests.unit.schemas.pydantic.checks import schema_of


def model_of(kind: Any) -> type[BaseModel]:
    return create_model("State", field=(kind, ...))


class Mixed(Enum):
    NUMBER = 1
    TEXT = "1"


class Partly(Enum):
    NUMBER = 1
    TEXT = "b"


class Half(Enum):
    HALF = 0.5


class Nothing(Enum):
    NONE = None
    TEXT = "x"


class Small(IntEnum):
    ONE = 1


class Truth(Enum):
    YES = True
    NO = False


NONE = "keys that may be None"
LOST = "does not read back from the text"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (None, NONE),
        (int | None, NONE),
        (str | None, NONE),
        (Word | None, NONE),
        (Annotated[str, AfterValidator(str.strip)] | None, NONE),
        (Literal["a"] | None, NONE),
        (Literal[None, "a"], NONE),
        (Nothing, NONE),
        (Mixed, f"the key Mixed.NUMBER, which {LOST}"),
        (Partly, f"the key Partly.NUMBER, which {LOST}"),
        (Half, f"the key Half.HALF, which {LOST}"),
        (Literal[1, "1"], f"the key 1, which {LOST}"),
        (Literal[1, 2], f"the key 1, which {LOST}"),
        (Literal["a", 1], f"the key 1, which {LOST}"),
        (Literal[True, "true"], f"the key 'true', which {LOST}"),
        (int | str, "keys of int and str, which read alike"),
        (date | str, "keys of date and str, which read alike"),
        (int | bool, "keys of int and bool, which read alike"),
        (Literal["1"] | int, "keys of int that read back as other ones"),
        (UUID | str, "keys of uuid and str, which read alike"),
        (bytes | str, "keys of bytes and str, which read alike"),
        (int | float, "keys of float that read back as other ones"),
        (Decimal | int, "keys of int that read back as other ones"),
        (Decimal | float, "keys of float that read back as other ones"),
        (bytes | int, "keys of int that read back as other ones"),
    ],
)
@pytest.mark.parametrize("around", ["field", "nested"])
def test_keys_that_json_does_not_keep_are_refused_by_the_field(key: Any, problem: str, around: str) -> None:
    kind = dict[key, int] if around == "field" else dict[str, list[dict[key, int]]]
    with pytest.raises(FlowDefinitionError, match=rf"State\.field has {re.escape(problem)}.*a list of pairs"):
        schema_of(model_of(kind))


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        (Word, list(Word)),
        (Small, list(Small)),
        (Truth, list(Truth)),
        (bool, [True, False]),
        (int, [1, -1]),
        (float, [1.0, 0.5, 1e300]),
        (Decimal, [Decimal("1.0"), Decimal("1")]),
        (date, [date(2020, 1, 1)]),
        (date | datetime, [date(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)]),
        (UUID | int, [UUID(int=1), 1]),
        (bytes, [b"a", b"1"]),
        (Literal["a", "b"], ["a", "b"]),
        (Literal["a"] | Literal["b"], ["a", "b"]),
        (Literal["a"] | int, ["a", 1]),
        (Word | int, [*Word, 1]),
    ],
)
def test_other_keys_read_as_they_were_written(key: Any, keys: list[Any]) -> None:
    schema = schema_of(model_of(dict[key, int]))
    for each in keys:
        (write,) = op.patch_state({"field": {each: 1}}, schema.fields_json)
        assert isinstance(write, op.Merge)
        state = schema.check(write.fields, frozenset({"field"}), {})
        (read,) = schema.merged_view(state).field
        assert (read, type(read)) == (each, type(each))
        assert schema.check(state, frozenset({"field"}), state) is state


def test_bytes_that_are_no_text_are_refused_as_a_key_with_the_way_out() -> None:
    schema = schema_of(model_of(dict[bytes, int]))
    with pytest.raises(
        JsonInvalidError, match=r"not bytes; a field with keys of bytes takes UTF-8 alone: .*hex"
    ):
        op.patch_state({"field": {b"\xff": 1}}, schema.fields_json)
