"""For declarable types, every operation, by what a block and what the client gives: what is read is what was written, a
later write changes nothing else, and writing the equal value again is no change; or a refusal that names the field.
There is no third outcome. ``tests/scenarios/test_values_everywhere.py`` says the same of servers on each store."""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Annotated, Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model
from typing_extensions import TypeAliasType

from flowstate_client.errors import ResponseValidationError
from flowstate_server.errors import JsonInvalidError, JsonNumberError, StateValidationError
from flowstate_server.model.json_values import JsonObject, canonical_json, encode_json
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.schemas.reading import AS_STORED
from flowstate_server.state import operations as op
from tests.support.declarable import OBJECTS, SCALARS, Declarable, declarables, examples, same
from tests.support.declared_types import Holding, Partial
from tests.support.sent import CODEC, Sent, written
from tests.unit.schemas.pydantic.checks import schema_of

REFUSALS = (StateValidationError, JsonInvalidError, JsonNumberError, ValueError)

Way = Callable[[], JsonObject]


def of_blocks(value: Any, model: Any, schema: ModelSchema) -> Iterator[Way]:
    """The operations that can write ``value``, each of an empty state."""
    whole = model.model_construct(field=value, other=0)
    yield lambda: written({}, op.patch_state({"field": value}, schema.fields_json), schema)[0]
    yield lambda: written({}, op.set_state(whole, schema.fields_json), schema)[0]
    if pushes(value, schema):
        yield lambda: written({}, op.push_state("field", list(value), schema.element_json), schema)[0]
    if puts(value, schema):

        def records() -> JsonObject:
            state: JsonObject = {"field": {}}
            for key, record in value.items():
                state, _ = written(
                    state, op.set_state_record("field", key, record, schema.record_json), schema
                )
            return state

        yield records


def of_clients(value: Any, model: Any, schema: ModelSchema, *, typed: bool) -> Iterator[Way]:
    whole, verbs = model.model_construct(field=value, other=0), Sent(model if typed else None)
    yield lambda: written({}, verbs.patch_state({"field": value}), schema)[0]
    yield lambda: written({}, verbs.set_state({"field": value, "other": 0}), schema)[0]
    yield lambda: written({}, verbs.set_state(whole), schema)[0]
    if pushes(value, schema):
        yield lambda: written({}, verbs.push_state("field", *value), schema)[0]
    if puts(value, schema):

        def records() -> JsonObject:
            state: JsonObject = {"field": {}}
            for key, record in value.items():
                state, _ = written(state, verbs.set_state_record("field", key, record), schema)
            return state

        yield records


def pushes(value: Any, schema: ModelSchema) -> bool:
    is_list = schema.shape("field")["type"] in ("list", "set", "frozenset", "deque")
    return is_list and isinstance(value, list | set | frozenset | deque)


def puts(value: Any, schema: ModelSchema) -> bool:
    return (
        schema.shape("field")["type"] == "dict"
        and isinstance(value, dict)
        and all(key not in ("", b"") for key in value)
    )


def judge(declared: Declarable, value: Any, model: Any, schema: ModelSchema, *, taken: bool) -> None:
    for write in of_blocks(value, model, schema):
        _judge(write, value, model, schema, taken=taken)
    sendable = taken and read_by_pydantic(model, value)
    for typed in (True, False):
        for write in of_clients(value, model, schema, typed=typed):
            _judge(write, value, model, schema, taken=sendable and (typed or declared.bare))


def _judge(write: Way, value: Any, model: Any, schema: ModelSchema, *, taken: bool) -> None:
    try:
        state = write()
    except REFUSALS as refusal:
        _require_named(refusal, "/field", taken)
        return
    if "field" not in state:
        assert not value  # nothing was pushed
        return
    view = schema.view(model, state)
    read = copy.deepcopy(view).field
    assert same(read, value), (read, value)
    assert view.field == value
    after, _ = written(state, op.patch_state({"other": 1}, schema.fields_json), schema)
    assert canonical_json({**after, "other": 0}) == canonical_json({**state, "other": 0})
    for again in (value, view.field, read):
        assert written(state, op.patch_state({"field": again}, schema.fields_json), schema) == (state, False)
    assert canonical_json(schema.with_defaults(state)["field"]) == canonical_json(state["field"])
    assert schema.read_again(state, ["field"]) == AS_STORED
    try:
        decoded = CODEC.decode(encode_json(state), model).field
    except ResponseValidationError as refusal:  # pydantic reads strict models strictly behind functions
        _require_named(refusal, "field", taken=False)
    else:  # in a defaultdict pydantic reads a midnight of date | datetime as a date
        assert same(decoded, value) or same(decoded, reread_by_pydantic(model, value))


def _require_named(refusal: Exception, name: str, taken: bool) -> None:
    if taken or name not in str(refusal):
        raise AssertionError("refused, or not by the field's name") from refusal


BASE64 = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
HEX = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")


def taken(declared: Declarable, config: ConfigDict | None, model: Any, value: Any) -> bool:
    """Where a configuration says how bytes are written, pydantic decodes once what it encodes twice, and writes a
    dataclass by that configuration and reads it by none."""
    return declared.taken and (config is None or read_by_pydantic(model, value))


def read_by_pydantic(model: Any, value: Any) -> bool:
    try:
        return same(reread_by_pydantic(model, value), value)
    except ValueError:
        return False


def reread_by_pydantic(model: Any, value: Any) -> Any:
    text = model.model_construct(field=value).model_dump_json(round_trip=True)
    return model.model_validate_json(text).field


def declared_as(declared: Declarable, config: ConfigDict | None = None) -> tuple[Any, ModelSchema]:
    model = create_model("State", __config__=config, field=(declared.annotation, ...), other=(int, 0))
    return model, schema_of(model)


@pytest.fixture(autouse=True)
def no_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value is refused since the machine is busy."""
    monkeypatch.setattr("flowstate_server.state.code_time.MOST_SECONDS", 60)


@pytest.mark.parametrize("config", [None, BASE64], ids=["utf8", "base64"])
@pytest.mark.parametrize("declared", [*SCALARS, *OBJECTS], ids=lambda declared: declared.title)
def test_values_of_a_type_are_read_as_they_were_written(
    declared: Declarable, config: ConfigDict | None
) -> None:
    model, schema = declared_as(declared, config)

    @examples(25 if config is None else 8)
    @given(declared.values)
    def each(value: Any) -> None:
        judge(declared, value, model, schema, taken=taken(declared, config, model, value))

    each()


Words = TypeAliasType("Words", list[bytes])
"""Used twice it is a definition, which has no configuration of its own."""
Nested = TypeAliasType("Nested", "dict[str, Nested] | bytes")


class Plain(BaseModel):
    pair: tuple[Words, Words]
    tree: Annotated[Nested, BeforeValidator(lambda value: value)]


class Base64(Plain):
    model_config = BASE64
    within: Plain


PLAIN = Plain(pair=([b"a"], [b"b"]), tree={"a": {"b": b"c"}})
BASE = Base64(pair=([b"a"], [b"b"]), tree={"a": b"c"}, within=PLAIN)


@pytest.mark.parametrize("config", [BASE64, HEX], ids=["base64", "hex"])
@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (tuple[Words, Words], ([b"a"], [b"b", b"c"])),
        (list[Words | list[Words]], [[b"a"]]),
        (Annotated[tuple[Words, Words], BeforeValidator(lambda value: value)], ([b"a"], [b"b"])),
        (Sequence[Words], [[b"a"]]),
        (Sequence[Partial], [{"b": b"a"}]),
        (dict[bytes, Words], {b"key": [b"a"]}),
        (Nested, {"a": {"b": b"c"}}),
        (Holding[Partial], Holding[Partial](one={"b": b"a"}, others=[{"b": b"b"}], by_name={})),
        (tuple[Words, Plain, Base64, Words], ([b"a"], PLAIN, BASE, [b"d"])),
        (
            Annotated[tuple[Words, Plain, Nested], BeforeValidator(lambda value: value)],
            ([b"a"], PLAIN, {"a": b"a"}),
        ),
    ],
)
def test_the_configuration_holds_for_what_is_no_model(
    annotation: Any, value: Any, config: ConfigDict
) -> None:
    declared = Declarable(str(annotation), annotation, st.just(value), bare=False)
    model, schema = declared_as(declared, config)
    judge(declared, value, model, schema, taken=True)
    for write in (*of_blocks(value, model, schema), *of_clients(value, model, schema, typed=True)):
        assert (
            encode_json({"field": write()["field"]})
            == model.model_construct(field=value).model_dump_json(include={"field"}).encode()
        )


@pytest.mark.parametrize("config", [BASE64, HEX], ids=["base64", "hex"])
def test_what_pydantic_reads_by_another_configuration_than_it_writes_is_refused(config: ConfigDict) -> None:
    """A ``TypedDict`` is read by the configuration of the model in which pydantic saw it first."""
    annotation = tuple[Partial, Holding[Partial]]
    value = ({"b": b"a"}, Holding[Partial](one={"b": b"a"}, others=[], by_name={}))
    declared = Declarable(str(annotation), annotation, st.just(value), bare=False)
    model, schema = declared_as(declared, config)
    assert not read_by_pydantic(model, value)
    for write in (*of_blocks(value, model, schema), *of_clients(value, model, schema, typed=True)):
        with pytest.raises(REFUSALS, match=r"/field: .*reads back as another value"):
            write()


def test_where_pydantic_takes_a_midnight_for_a_date_blocks_read_a_datetime() -> None:
    """In a ``defaultdict`` it does, so that a client with a model reads a date, and does not send the whole field."""
    annotation, value = defaultdict[str, list[date | datetime]], defaultdict(list, a=[datetime(2000, 1, 1)])  # noqa: DTZ001
    declared = Declarable(str(annotation), annotation, st.just(value))
    model, schema = declared_as(declared)
    assert not read_by_pydantic(model, value)
    judge(declared, value, model, schema, taken=True)
    with pytest.raises(ValueError, match=r"/field: .*reads back as another value"):
        Sent(model).patch_state({"field": value})


def _any_type(data: st.DataObject) -> None:
    declared = data.draw(declarables())
    config = data.draw(st.sampled_from([None, None, BASE64, HEX]))
    model, schema = declared_as(declared, config)
    for _ in range(2):
        value = data.draw(declared.values)
        judge(declared, value, model, schema, taken=taken(declared, config, model, value))


@examples(250)
@given(data=st.data())
def test_values_of_types_in_types_are_read_as_they_were_written(data: st.DataObject) -> None:
    _any_type(data)


@pytest.mark.soak
@examples(5_000, derandomize=False)
@given(data=st.data())
def test_values_of_very_many_types_are_read_as_they_were_written(data: st.DataObject) -> None:
    _any_type(data)
