"""Whether two flows agree on a record that they share: the same verdict whichever comes first, and wherever it is."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from flowstate_server.errors import CrossFlowSchemaConflictError
from flowstate_server.flows import Context, Flow, Org, User, action, define_flow, handler
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.scopes import RECORD_SCOPES, ScopeKind
from flowstate_server.programs.agreement import Agreement, agreement
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.declarations import declaration_hash, decode_declaration, encode_declaration
from flowstate_server.programs.description import FlowDescription
from tests.support.json_schema_program import JsonSchema
from tests.support.schema_pairs import (
    EXTENDS,
    LOUDLY,
    PAIRS,
    SAME,
    SHAPE,
    TYPES,
    VALUES,
    NumberedZip,
    Place,
    field,
    strip,
)


@handler
async def nothing(value: None, ctx: Context) -> None: ...


def flow(kind: str, model: type[BaseModel], scope: str = "user", **options: Any) -> Flow:
    config: Any = {"user": User, "org": Org}[scope](state=model)
    return define_flow(kind, actions={"act": action(block=nothing)}, **{scope: config}, **options)


def verdict(found: Agreement) -> str:
    if found.conflicts:
        return found.conflicts[0].reason
    if any(remark.loud for remark in found.remarks):
        return LOUDLY
    return EXTENDS if found.remarks else SAME


def recorded(of: Flow) -> Any:
    """Its declaration as another process reads it."""
    return decode_declaration(decode_json(encode_json(encode_declaration(of.described.shared))))


def test_there_are_enough_pairs_of_each_kind() -> None:
    expected = [pair[2] for pair in PAIRS]
    assert len(expected) >= 60
    assert set(expected) == {SAME, EXTENDS, LOUDLY, TYPES, SHAPE, VALUES}


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_the_verdict_is_the_same_whichever_flow_comes_first(number: int) -> None:
    one, other, expected = PAIRS[number]
    a, b = flow("a", one), flow("b", other)
    found = agreement(a.described.shared, b.described.shared)
    back = agreement(b.described.shared, a.described.shared)
    assert (verdict(found), verdict(back)) == (expected, expected)
    assert [one.field for one in found.conflicts] == [one.field for one in back.conflicts]
    assert sorted(remark.fields for remark in found.remarks) == sorted(
        remark.fields for remark in back.remarks
    )


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_the_verdict_is_the_same_for_what_another_process_recorded(number: int) -> None:
    one, other, expected = PAIRS[number]
    a, b = flow("a", one), flow("b", other)
    assert verdict(agreement(recorded(a), recorded(b))) == expected
    assert verdict(agreement(recorded(b), recorded(a))) == expected
    assert verdict(agreement(recorded(a), recorded(flow("c", one)))) == SAME
    assert declaration_hash(a.described.shared) == declaration_hash(recorded(a))


@pytest.mark.parametrize("scope", ["user", "org"])
@pytest.mark.parametrize("number", range(0, len(PAIRS), 3))
def test_a_registration_goes_by_the_verdict_and_leaves_no_trace(
    number: int, scope: str, caplog: pytest.LogCaptureFixture
) -> None:
    one, other, expected = PAIRS[number]
    for first, second in ((one, other), (other, one)):
        caplog.clear()
        registry = Catalogue([flow("a", first, scope)])
        if expected in (SAME, EXTENDS, LOUDLY):
            registry.register(flow("b", second, scope))
            assert registry.kinds() == ["a", "b"]
            assert bool(caplog.records) is (expected != SAME)
            continue
        with pytest.raises(CrossFlowSchemaConflictError) as refused:
            registry.register(flow("b", second, scope))
        error = refused.value
        assert (error.reason, error.scope, error.flow_a, error.flow_b) == (expected, scope, "a", "b")
        assert (
            f'({error.reason}: field "{error.field}": {error.detail}). Set isolate_{scope}_state=True'
            in str(error)
        )
        assert registry.kinds() == ["a"]
        assert not caplog.records
        registry.register(flow("b", second, scope, **{f"isolate_{scope}_state": True}))


def test_only_strictly_a_required_field_of_one_side_is_refused() -> None:
    for one, other, expected in PAIRS:
        a, b = (flow(kind, model).described.shared for kind, model in (("a", one), ("b", other)))
        strict = verdict(agreement(a, b, strict=True))
        assert strict == (SHAPE if expected == LOUDLY else expected)


def test_the_first_conflict_is_that_of_the_first_field_by_name() -> None:
    class One(BaseModel):
        zebra: int = 0
        ape: int = 0

    class Other(BaseModel):
        zebra: str = ""
        ape: str = ""

    for first, second in ((One, Other), (Other, One)):
        found = agreement(flow("a", first).described.shared, flow("b", second).described.shared)
        assert [conflict.field for conflict in found.conflicts] == ["ape", "zebra"]


def test_a_conflict_tells_the_place_in_a_nested_model() -> None:
    with pytest.raises(CrossFlowSchemaConflictError) as refused:
        Catalogue([flow("a", field(list[Place], [])), flow("b", field(list[NumberedZip], []))])
    assert refused.value.detail == "/*/zip: str vs int"


def test_recorded_declarations_tell_neither_values_of_functions_nor_addresses() -> None:
    text = encode_json(
        encode_declaration(flow("a", field(Annotated[str, AfterValidator(strip)], "")).described.shared)
    )
    assert b"schema_pairs:strip" in text
    assert b"#" not in text


def in_another_language(**properties: dict[str, Any]) -> FlowDescription:
    """A flow whose schemas are no pydantic models."""
    schemas = {
        scope: JsonSchema(scope, properties if scope is ScopeKind.USER else {}) for scope in RECORD_SCOPES
    }
    return FlowDescription(kind="game", actions={}, schemas=schemas, shown={})


@pytest.mark.parametrize(
    ("schema", "model", "expected"),
    [
        ({"type": "string", "default": "a"}, field(str, "a"), SAME),
        ({"type": "string", "default": "a"}, field(str, "b"), EXTENDS),
        ({"type": "string"}, field(str, "b"), EXTENDS),
        ({"type": "array", "items": {"type": "integer"}}, field(list[int]), SAME),
        ({"type": "array", "items": {"type": "integer"}}, field(list[str]), SHAPE),
        ({"type": "integer", "default": 1}, field(str, "1"), SHAPE),
        ({"type": "number", "default": 1}, field(int, 1), TYPES),
        ({"type": "string", "maxLength": 5}, field(str), VALUES),
    ],
)
def test_a_flow_in_another_language_is_compared_by_what_it_declares(
    schema: dict[str, Any], model: type[BaseModel], expected: str
) -> None:
    game, other = in_another_language(x=schema), flow("chat", model).described
    for one in (game.shared, decode_declaration(encode_declaration(game.shared))):
        assert verdict(agreement(one, other.shared)) == expected
        assert verdict(agreement(recorded(flow("chat", model)), one)) == expected
