"""The shape of a field: its type, constraints and members as a JSON tree that can be compared, hashed and named.

Shapes are structural: two models with equal fields have equal shapes, whatever their names. They are what schemas of
different make have in common, so they name types as Python does: ``{"type": "list", "of": {"type": "int"}}``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from flowstate_server.model.json_values import Json, canonical_json

Shape = dict[str, Any]
"""``type`` and, by type, ``of``, ``keys``, ``values``, ``fields``, ``choices``; ``constraints``, ``validators``;
``name`` is for people and no part of the comparison, nor
are ``anchor``, which marks a shape that a ``recursive`` one in it may mean, and ``made``, which marks a member that a
factory makes anew each time where it is absent."""

NUMBERS = frozenset(("int", "float"))
LISTS = frozenset(("list", "set", "frozenset", "tuple", "generator", "deque"))
MAPS = frozenset(("dict", "ordered-dict", "frozendict", "counter"))
OBJECTS = frozenset(("model", "typed-dict", "dataclass"))
OF_TYPES = ("class ", "pydantic.", "pydantic_extra_types.")
"""What the names of functions begin with that make a type what it is, such as those of an IP address, an e-mail address
or a path. All other functions are an author's: types that differ in them alone are the same type."""
_ASIDE = {"name": str, "anchor": bool, "made": bool}
"""What is no part of the comparison; with another type it is a member of that name."""
_MEMBER_KINDS = {"int": "number", "float": "number", "bool": "boolean", "NoneType": "null"}
_NAMES = {"none": "None", "any": "Any", "literal": "Literal", "decimal": "Decimal", "uuid": "UUID"}
_JSON_KINDS = {"int": "number", "float": "number", "bool": "boolean", "none": "null"}


def canonical_shape(shape: Shape, *, exact: bool) -> bytes:
    """Equal text means equal shapes.

    ``exact`` tells validator functions apart by what they are; otherwise by their names, which is the same in every
    process.
    """
    return canonical_json(cast(Json, _comparable(shape, exact)))


def portable_shape(shape: Shape) -> Shape:
    """``shape`` without what tells functions apart within this process only: they are left with their names."""
    return cast(Shape, _portable(shape))


def nullable(shape: Shape) -> bool:
    return bool(shape["type"] == "nullable" or shape["type"] in ("none", "any"))


def unwrapped(shape: Shape) -> Shape:
    """The shape without ``Optional`` around it, which leaves its validators behind."""
    validators: list[str] = []
    while shape["type"] == "nullable":
        validators += shape.get("validators", [])
        shape = shape["of"]
    return {**shape, "validators": [*shape.get("validators", []), *validators]} if validators else shape


def _portable(node: Any, key: str = "") -> Any:
    if isinstance(node, dict):
        return {name: _portable(value, name) for name, value in node.items()}
    if isinstance(node, list):
        return [_portable(item, key) for item in node]
    return node.split("#")[0] if key == "validators" else node


def _comparable(node: Any, exact: bool, key: str = "") -> Any:
    if isinstance(node, dict):
        return {
            name: _comparable(value, exact, name)
            for name, value in node.items()
            if type(value) is not _ASIDE.get(name)
        }
    if isinstance(node, list):
        return [_comparable(item, exact, key) for item in node]
    return node.split("#")[0] if key == "validators" and not exact else node


def type_functions(shape: Shape) -> list[str]:
    """The functions among the validators of ``shape`` that are a part of its type."""
    return [
        token.split("#")[0]
        for token in shape.get("validators", ())
        if token.partition(" ")[2].startswith(OF_TYPES)
    ]


def json_kind(shape: Shape) -> str:
    """The kind of JSON value that a shape takes: what differs here differs in form, not only in type."""
    kind = str(shape["type"])
    if kind == "nullable":
        return json_kind(shape["of"])
    if kind in LISTS or kind == "named-tuple":
        return "list"
    if kind in MAPS:
        return "map"
    if kind in OBJECTS:
        return "object"
    if kind in ("literal", "enum"):
        kinds = {_MEMBER_KINDS.get(name, "string") for name, _ in shape["values"]}
        return kinds.pop() if len(kinds) == 1 else "any"
    if kind in ("any", "union", "tagged-union", "recursive", "chain", "decimal"):
        return kind
    return _JSON_KINDS.get(kind, "string")


def declared_otherwise(shape: Shape, below: Sequence[str], kind: str) -> str:
    """The name of the shape of a place in ``shape``, if it can't hold a JSON value that is a ``kind``: a number, a list
    or an object. Empty if it can, or if the shape does not tell."""
    for key in below:
        shape = unwrapped(shape)
        inner = shape["fields"].get(key) if "fields" in shape else shape.get("of")
        if inner is None or shape["type"] not in MAPS | OBJECTS:
            return ""
        shape = inner
    found = json_kind(shape)
    known = {"string", "number", "boolean", "list", "map", "object", "decimal", "null"}
    return shape_name(shape) if found in known - _HOLDS[kind] else ""


_HOLDS = {"number": {"number"}, "list": {"list"}, "object": {"map", "object"}}


def shape_name(shape: Shape) -> str:
    """A shape as an author would write it, more or less."""
    kind = str(shape["type"])
    name = str(shape["name"]) if isinstance(shape.get("name"), str) else _NAMES.get(kind, kind)
    if kind == "nullable":
        return f"{shape_name(shape['of'])} | None"
    if kind in MAPS:
        name = f"{kind}[{shape_name(shape['keys'])}, {shape_name(shape['of'])}]"
    elif "of" in shape:
        name = f"{name}[{shape_name(shape['of'])}]"
    elif kind == "tuple":
        name = f"tuple[{', '.join(shape_name(choice) for choice in shape['choices'])}]"
    elif "choices" in shape:
        name = " | ".join(shape_name(choice) for choice in shape["choices"])
    elif kind in ("literal", "enum"):
        members = ", ".join(repr(text) if of == "str" else text for of, text in shape["values"])
        name = f"{name}[{members}]"
    if "constraints" in shape:
        rules = ", ".join(f"{key}={value}" for key, value in sorted(shape["constraints"].items()))
        name = f"{name}({rules})"
    return name
