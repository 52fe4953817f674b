"""JSON Schemas that no Python flow has, as a server in another language may tell them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from flowstate_client import ActionInfo, FlowInfo, FlowStateClient, Scope, ScopeInfo
from flowstate_client.typed_flow import StubModel, TypedFlow
from flowstate_server.cli.stub.layout import docstring
from flowstate_server.cli.stub.models import Models
from flowstate_server.cli.stub.module import stub_of
from flowstate_server.cli.stub.names import class_name, identifier, untaken

POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


@pytest.mark.parametrize(
    ("schema", "annotation"),
    [
        (True, "Any"),
        ({}, "Any"),
        (None, "Any"),
        ({"not": {"type": "string"}}, "Any"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"type": "frobnicate"}, "Any"),
        ({"enum": ["a", "a", None]}, 'Literal["a"] | None'),
        ({"const": None}, "None"),
        ({"allOf": [{"type": "integer"}]}, "int"),
        ({"oneOf": [{"type": "null"}, {"type": "string"}, {"type": "null"}]}, "str | None"),
        ({"type": "array"}, "list[Any]"),
        ({"type": "array", "prefixItems": [], "minItems": 0, "maxItems": 0}, "tuple[()]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({"type": "object", "properties": {}}, "dict[str, Any]"),
        ({"type": "object", "patternProperties": {"^a": {"type": "integer"}}}, "dict[str, int]"),
        ({"type": "string", "format": "date-time"}, "dt.datetime"),
        ({"type": "string", "format": "hostname"}, "str"),
        ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"type": "number"}}}, "float"),
        ({"type": "array", "items": POINT}, "list[Point]"),
    ],
)
def test_annotations(schema: Any, annotation: str) -> None:
    made = Models(()).annotation(schema, role="point")
    assert (made.text, made.remarks) == (annotation, [])


@pytest.mark.parametrize(
    ("schema", "annotation", "remark"),
    [
        ({"$ref": "https://example.org/x"}, "Any", 'any JSON: a reference to "https://example.org/x"'),
        ({"$ref": "#/properties/x"}, "Any", 'any JSON: a reference to "#/properties/x"'),
        ({"allOf": [{"type": "integer"}, {"minimum": 1}]}, "Any", "any JSON: allOf of several schemas"),
        (
            {"enum": [1.5]},
            "Any",
            "any JSON: a choice of what is neither text, whole numbers, booleans nor null",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}]},
            "list[Any]",
            "a list that only begins as its schema says",
        ),
        (
            {"$ref": "#/$defs/J", "$defs": {"J": {"type": "array", "items": {"$ref": "#/$defs/J"}}}},
            "list[Any]",
            "any JSON: a type that refers to itself",
        ),
    ],
)
def test_what_cannot_be_said_is_any_json_and_why(schema: Any, annotation: str, remark: str) -> None:
    made = Models(()).annotation(schema, role="x")
    assert (made.text, made.remarks) == (annotation, [remark])


def test_equal_models_are_one_and_others_have_names_of_their_own() -> None:
    models = Models({"PointFlow"})
    other = {**POINT, "properties": {"x": {"type": "string"}}}
    titled = [{**schema, "title": "Point"} for schema in (POINT, POINT, other, {**other, "required": []})]
    assert [models.annotation(schema, role="move output").text for schema in titled] == [
        "Point",
        "Point",
        "PointMoveOutput",
        "Point2",
    ]


def test_a_field_has_not_the_name_of_a_class_that_its_model_uses() -> None:
    models = Models(())
    fields = {"Point": {"type": "integer", "default": 1}, "at": POINT | {"title": "Point"}}
    models.annotation({"type": "object", "properties": fields}, role="move")
    assert "    Point_: int = Field(" in models.lines


def test_a_model_that_refers_to_itself() -> None:
    models = Models(())
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert models.annotation(node, role="node").text == "Node"
    assert "    next: Node | None = None" in models.lines


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("message", "message"),
        ("class", "class_"),
        ("da-shed", "da_shed"),
        ("1st", "n_1st"),
        ("_x", "x"),
        ("__", "unnamed"),
        ("", "unnamed"),
        ("größe", "größe"),
        ("a b\nc", "a_b_c"),
        ("¼", "n_1_4"),
        ("ﬁ", "fi"),
    ],
)
def test_identifiers(text: str, name: str) -> None:
    assert identifier(text) == name
    assert name.isidentifier()


def test_a_model_whose_name_ends_as_nothing_does() -> None:
    models = Models(())
    inner = {"title": "FooNone", "type": "object", "properties": {"x": {"type": "string"}}}
    models.annotation({"type": "object", "properties": {"a": inner}}, role="Given")
    assert "    a: FooNone | None = None" in models.lines


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Say", "Say"),
        ("chat", "Chat"),
        ("odd-flow 1", "OddFlow1"),
        ("Box[int]", "BoxInt"),
        ("None", "None_"),
        ("\uff21bc", "Abc"),
        ("", "Model"),
        ("3d", "n_3d"),
    ],
)
def test_names_of_classes(text: str, name: str) -> None:
    assert class_name(text) == name


def test_names_that_are_taken() -> None:
    assert untaken("a", ()) == "a"
    assert untaken("a", {"a"}, "_") == "a_"
    assert untaken("a", {"a", "a_", "a2"}, "_") == "a3"


@pytest.mark.parametrize(
    "text",
    [
        '"',
        '""""',
        '"""',
        'say """',
        '\\"""',
        "\\",
        "\\\\",
        'ends with \\"',
        "a\x00b",
        "  two\n\n    lines\\\n",
        "\u2028x",
    ],
)
def test_any_text_can_be_a_docstring(text: str) -> None:
    source = "\n".join(["class A:", *docstring("    ", text), "    pass"])
    names: dict[str, Any] = {}
    exec(compile(source, "a.py", "exec"), names)
    said = " ".join((names["A"].__doc__ or "").split())
    assert said == " ".join(text.replace("\x00", " ").split())


_names = st.one_of(
    st.sampled_from(
        [
            "x",
            "class",
            "copy",
            "model_dump",
            "list",
            "dt",
            "Any",
            "str",
            "_a",
            "a-b",
            "a_b",
            "1",
            "",
            "StubModel",
            "é",
        ]
    ),
    st.text(max_size=4),
)
_values = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5))
_leaves: st.SearchStrategy[Any] = st.one_of(
    st.builds(dict),
    st.booleans(),
    st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"]).map(
        lambda kind: {"type": kind}
    ),
    st.sampled_from(["date-time", "date", "uuid", "duration"]).map(
        lambda form: {"type": "string", "format": form, "default": "x"}
    ),
    st.builds(lambda members: {"enum": members}, st.lists(_values, max_size=3)),
    st.sampled_from(["#", "#/$defs/a", "#/$defs/b", "elsewhere"]).map(lambda place: {"$ref": place}),
)


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        st.builds(
            lambda items, text: {"type": "array", "items": items, "description": text}, inner, st.text()
        ),
        st.builds(lambda all_: {"prefixItems": all_, "minItems": len(all_), "maxItems": len(all_)}, several),
        st.builds(lambda word, any_: {word: any_}, st.sampled_from(["anyOf", "oneOf", "allOf"]), several),
        st.builds(
            lambda fields, required, title, text, more: {
                "type": "object",
                "properties": fields,
                "required": [name for name in fields if required],
                "title": title,
                "description": text,
                "additionalProperties": more,
            },
            st.dictionaries(_names, inner, max_size=4),
            st.booleans(),
            st.one_of(_names, st.none()),
            st.text(max_size=8),
            st.one_of(st.booleans(), inner),
        ),
        st.builds(
            lambda schema, default: {**schema, "default": default},
            inner.filter(lambda schema: isinstance(schema, dict)),
            _values,
        ),
    )


_schemas = st.recursive(_leaves, _around, max_leaves=8)
_documents = st.builds(
    lambda schema, a, b: {**schema, "$defs": {"a": a, "b": b}} if isinstance(schema, dict) else schema,
    *(_schemas, _schemas, _schemas),
)


@settings(max_examples=60, deadline=None)
@given(
    _names.filter(bool),
    _names.filter(bool),
    _documents,
    _documents,
    st.dictionaries(_names, _schemas, max_size=3),
)
def test_any_schema_makes_a_module_that_can_be_imported(
    kind: str, action: str, taken: Any, given_back: Any, fields: dict[str, Any]
) -> None:
    state = {"type": "object", "properties": fields}
    scope = ScopeInfo(Scope.SESSION, state, tuple(fields), ("derived",), "", 1)
    actions = (ActionInfo(action, "\\", taken, given_back),)
    flow = FlowInfo(kind, kind, actions, (scope,), False, False, "", ())
    source = stub_of([flow], f"flowstate client-stub {kind}")
    module = ModuleType("made_stub")
    sys.modules["made_stub"] = module
    try:
        exec(compile(source, "made_stub.py", "exec", dont_inherit=True), vars(module))
        own = [one for one in vars(module).values() if getattr(one, "__module__", "") == "made_stub"]
        [flow_class] = [one for one in own if issubclass(one, TypedFlow)]
        flow_class(FlowStateClient.__new__(FlowStateClient))
        for model in own:
            if issubclass(model, StubModel):
                model.model_rebuild()
    finally:
        del sys.modules["made_stub"]
