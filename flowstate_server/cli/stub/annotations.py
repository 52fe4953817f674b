"""Annotations: types as source text, and why they say less than a schema where they do."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flowstate_server.cli.stub.layout import literal

NATIVE = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
FORMATS = {
    "date-time": "dt.datetime",
    "date": "dt.date",
    "time": "dt.time",
    "duration": "dt.timedelta",
    "uuid": "UUID",
}
USED = {*NATIVE.values(), *FORMATS.values(), "list", "dict", "tuple", "dt", "Any", "Literal"}
"""Names that annotations use: a field of that name would stand in their way."""

_LITERAL = (str, bool, int, type(None))


@dataclass
class Annotation:
    """An annotation, and why it says less than its schema where it does."""

    text: str
    remarks: list[str] = field(default_factory=list)

    def or_none(self) -> str:
        if self.text == "Any" or takes_none(self.text):
            return self.text
        return f"{self.text} | None"


def literals(members: Any) -> Annotation:
    if not isinstance(members, list) or not all(isinstance(one, _LITERAL) for one in members):
        return any_json("a choice of what is neither text, whole numbers, booleans nor null")
    told = ", ".join(dict.fromkeys(literal(one) for one in members if one is not None))
    null = [Annotation("None")] if None in members else []
    return union([*([Annotation(f"Literal[{told}]")] if told else []), *null])


def union(members: Iterable[Annotation]) -> Annotation:
    each = list(members)
    texts = list(dict.fromkeys(one.text for one in each))
    remarks = list(dict.fromkeys(text for one in each for text in one.remarks))
    if "Any" in texts or not texts:
        return Annotation("Any", remarks)
    if "None" in texts:  # where a reader looks for it
        texts = [*(text for text in texts if text != "None"), "None"]
    return Annotation(" | ".join(texts), remarks)


def takes_none(annotation: str) -> bool:
    return annotation == "None" or annotation.endswith(" | None")


def any_json(reason: str) -> Annotation:
    return Annotation("Any", [f"any JSON: {reason}"])


def default_value(schema: Any, annotation: str) -> str:
    """The default as source text, where the annotation takes it as it is in JSON; empty otherwise."""
    if not isinstance(schema, dict) or "default" not in schema:
        return ""
    value = schema["default"]
    if value is None:
        return "None" if annotation == "Any" or takes_none(annotation) else ""
    if value == [] and annotation.startswith("list["):
        return "[]"
    if value == {} and annotation.startswith("dict["):
        return "{}"
    if annotation.startswith("Literal["):
        return literal(value) if isinstance(value, _LITERAL) else ""
    members = annotation.split(" | ")
    if type(value) is int and "int" not in members and "float" in members:
        return literal(value)
    return literal(value) if type(value).__name__ in members else ""


def unknown_default(schema: Any) -> str:
    if isinstance(schema, dict) and "default" in schema:
        told = json.dumps(schema["default"], ensure_ascii=False)
        return f"not given: {told if len(told) <= 60 else 'the default of the server'}"
    return "not given: the server makes one"


def comments(remarks: Iterable[str]) -> list[str]:
    return [f"    # {' '.join(remark.split())}" for remark in dict.fromkeys(remarks)]
