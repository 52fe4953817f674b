"""What can be declared as state, and what is refused when the flow is built: by model and field, with the way out."""

from __future__ import annotations

import dataclasses
import enum
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
from pydantic import (
    Base64Bytes,
    Base64Str,
    Base64UrlStr,
    BaseModel,
    Field,
    Secret,
    SecretBytes,
    SecretStr,
    create_model,
)
from pydantic_core import core_schema as core

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.model.json_values import canonical_json
from flowstate_server.schemas.pydantic.core_schemas import ModelParts, has_code, walk
from flowstate_server.schemas.pydantic.faithful import is_faithful
from flowstate_server.schemas.pydantic.field_shape import shape_of
from flowstate_server.schemas.shape import canonical_shape, json_kind, shape_name
from tests.unit.schemas.pydantic.checks import check, schema_of


@dataclasses.dataclass
class Point:
    x: int


@dataclasses.dataclass
class Line:
    ends: list[Point]
    tags: set[str] = dataclasses.field(default_factory=set)


class Shapes(BaseModel):
    line: Line


def test_f4_a_dataclass_is_declared_at_any_depth() -> None:
    class State(BaseModel):
        p: Point = Point(0)
        points: list[Point] = []
        shapes: Shapes | None = None

    schema = schema_of(State)
    shape = schema.shape("shapes")["of"]["fields"]["line"]
    assert shape["type"] == "dataclass"
    assert shape["fields"]["ends"]["of"]["fields"]["x"]["type"] == "int"
    stored = check({"shapes": {"line": {"ends": [{"x": 1}]}}}, schema=schema)
    assert stored == {"shapes": {"line": {"ends": [{"x": 1}], "tags": []}}}
    assert schema.view(State, stored).shapes == Shapes(line=Line([Point(1)]))
    assert schema.default("p") == {"x": 0}


class Hidden(BaseModel):
    shown: int = 0
    kept: int = Field(0, exclude=True)


@dataclasses.dataclass
class Started:
    x: int
    seed: dataclasses.InitVar[int] = 0


@dataclasses.dataclass
class Counted:
    x: int
    size: int = dataclasses.field(default=0, init=False)


class Login(BaseModel):
    password: SecretStr


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (SecretStr, "SecretStr"),
        (SecretBytes, "SecretBytes"),
        (Secret[int], "Secret"),
        (Login, "SecretStr"),
        (dict[str, list[Login | None]], "SecretStr"),
        (Hidden, '"kept"'),
        (list[Hidden], '"kept"'),
        (Started, '"seed"'),
        (Counted, '"size"'),
        (Iterable[int], "iterator"),
        (Callable[[], int], "function"),
        (list[type[int]], "class"),
    ],
)
def test_f3_what_would_be_lost_is_refused_by_model_and_field(kind: Any, word: str) -> None:
    class State(BaseModel):
        field: Annotated[kind, Field()]

    with pytest.raises(FlowDefinitionError, match=rf"State\.field .*{word}"):
        schema_of(State)


def _no_info(value: Any) -> Any:
    return value


_INT = core.int_schema()
_FIELD = core.model_fields_schema({"a": core.model_field(_INT)})
_ARGUMENTS = core.arguments_schema([core.arguments_parameter("a", _INT)])


class Kind(enum.Enum):
    ONE = 1


DATACLASS: Any = core.dataclass_schema(
    Point, core.dataclass_args_schema("Point", [core.dataclass_field("x", _INT)]), ["x"]
)
_EXAMPLES: dict[str, Callable[[], Any]] = {
    "invalid": lambda: {"type": "invalid"},
    "is-instance": lambda: core.is_instance_schema(int),
    "is-subclass": lambda: core.is_subclass_schema(int),
    "literal": lambda: core.literal_schema(["a"]),
    "enum": lambda: core.enum_schema(Kind, list(Kind)),
    "tuple": lambda: core.tuple_schema([_INT]),
    "function-after": lambda: core.no_info_after_validator_function(_no_info, _INT),
    "function-before": lambda: core.no_info_before_validator_function(_no_info, _INT),
    "function-wrap": lambda: core.no_info_wrap_validator_function(lambda value, go: go(value), _INT),
    "function-plain": lambda: core.no_info_plain_validator_function(_no_info),
    "default": lambda: core.with_default_schema(_INT, default=1),
    "nullable": lambda: core.nullable_schema(_INT),
    "union": lambda: core.union_schema([_INT, core.str_schema()]),
    "tagged-union": lambda: core.tagged_union_schema({"a": _INT}, "kind"),
    "chain": lambda: core.chain_schema([_INT, _INT]),
    "lax-or-strict": lambda: core.lax_or_strict_schema(_INT, _INT),
    "json-or-python": lambda: core.json_or_python_schema(_INT, _INT),
    "typed-dict": lambda: core.typed_dict_schema({"a": core.typed_dict_field(_INT)}),
    "model-fields": lambda: core.model_schema(Login, _FIELD),
    "model": lambda: core.model_schema(Login, _FIELD),
    "dataclass-args": lambda: DATACLASS,
    "dataclass": lambda: DATACLASS,
    "named-tuple": lambda: {"type": "named-tuple", "cls": tuple, "fields": [
        {"type": "named-tuple-field", "name": "a", "schema": _INT}]},
    "arguments": lambda: _ARGUMENTS,
    "arguments-v3": lambda: core.arguments_v3_schema([core.arguments_v3_parameter("a", _INT)]),
    "call": lambda: core.call_schema(_ARGUMENTS, _no_info),
    "custom-error": lambda: core.custom_error_schema(_INT, "no", custom_error_message="no"),
    "json": lambda: core.json_schema(_INT),
    "definitions": lambda: core.definitions_schema(_INT, [core.int_schema(ref="r")]),
    "definition-ref": lambda: core.definition_reference_schema("r"),
    "missing-sentinel": lambda: {"type": "missing-sentinel"},
    "ellipsis": lambda: {"type": "ellipsis"},
}  # fmt: skip


# fmt: off
_LEAVES_AND_CONTAINERS = frozenset((
    "any", "none", "bool", "int", "float", "decimal", "str", "bytes", "date", "time", "datetime", "timedelta",
    "callable", "list", "set", "frozenset", "generator", "dict", "url", "multi-host-url", "uuid", "complex", "invalid",
    "deque", "counter", "ordered-dict", "frozendict", "fraction",
))
# fmt: on


def test_f4_no_type_of_schema_is_unknown() -> None:
    """A newer pydantic may have more: each needs a look at what walks schemas, and its example here."""
    kinds = {str(kind) for kind in get_args(core.CoreSchemaType)}
    assert kinds - _EXAMPLES.keys() - _LEAVES_AND_CONTAINERS == set()


def test_f4_every_type_of_schema_is_met() -> None:
    kinds = {str(kind) for kind in get_args(core.CoreSchemaType)}
    assert len(kinds) > 45
    for kind in sorted(kinds):
        schema = _EXAMPLES[kind]() if kind in _EXAMPLES else {"type": kind}
        definitions: Any = {"r": core.int_schema(ref="r")}
        assert [part["type"] for part in walk(schema, definitions)]
        shape = shape_of(schema, definitions, {})
        assert canonical_shape(shape, exact=False) == canonical_shape(
            shape_of(schema, definitions, {}), exact=False
        )
        assert b"0x" not in canonical_json(shape), "no address of this process"
        assert shape_name(shape)
        assert json_kind(shape)
        has_code(schema, definitions)
        is_faithful(schema, ModelParts({}, {}, definitions))


def test_f13_hashes_are_the_same_in_every_process() -> None:
    program = Path(__file__).with_name("hashes.py")
    answers = {
        subprocess.run(
            [sys.executable, program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=50,
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(answers) == 1, answers
    assert len(answers.pop().split()) == 5


def test_f8_a_text_that_is_stored_as_another_text_is_refused() -> None:
    encoded: list[Any] = [Base64Str, Base64UrlStr | None, list[Base64Str], dict[Base64Str, int]]
    for annotation in encoded:
        model = create_model("State", b=(annotation, ...))
        with pytest.raises(FlowDefinitionError, match=r"State\.b holds an encoded text.* Base64Bytes"):
            schema_of(model)
    assert schema_of(create_model("State", b=(Base64Bytes, ...))).declares("b")
