"""JSON Schemas as annotations, and as the models that those name."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from flowstate_client.typed_flow import StubModel
from flowstate_server.cli.stub.annotations import (
    FORMATS,
    NATIVE,
    USED,
    Annotation,
    any_json,
    comments,
    default_value,
    literals,
    union,
    unknown_default,
)
from flowstate_server.cli.stub.layout import docstring, literal, statement
from flowstate_server.cli.stub.names import class_name, identifier, untaken

Schema = Any
"""A JSON Schema as plain values; a server in another language may give any."""


class Models:
    """The models of one module; equal schemas under one title are one model."""

    def __init__(self, taken: Collection[str]) -> None:
        self.lines: list[str] = []
        self._taken = {*taken, *USED}
        self._names: dict[str, str] = {}

    def new_name(self, name: str, *more: str) -> str:
        """``name``, or one like it, for a class of the module."""
        made = untaken(class_name(name), self._taken, *more)
        self._taken.add(made)
        return made

    def annotation(self, schema: Schema, *, role: str) -> Annotation:
        """The type of a whole document. ``role`` tells models of one title apart, and names those without any."""
        return _Document(self, schema, role).annotated(schema)

    def partial(
        self, name: str, shown: Iterable[tuple[str, Schema, str]], document: Schema, *, doc: str, role: str
    ) -> str:
        """A model whose fields may all be absent, given as their names, their schemas (``None``: there is none; a text:
        the model that was made of it) and what a comment says of them."""
        within = _Document(self, document, role)
        lines: list[str] = []
        members = [
            (wanted, Annotation(schema) if isinstance(schema, str) else within.annotated(schema), remark)
            for wanted, schema, remark in shown
        ]
        taken = {wanted for wanted, _, _ in members}
        for wanted, of, remark in members:
            lines += comments([*of.remarks, *([remark] if remark else [])])
            lines += statement("    ", *self.member(wanted, of.or_none(), "None", taken))
        made = self.new_name(name)
        self.add(made, doc, lines)
        return made

    def member(self, wanted: str, annotation: str, value: str, taken: set[str]) -> tuple[str, str, str]:
        """Name, annotation and value of a field that is called ``wanted`` in JSON. ``taken``: what all are called
        there, since a model is read by both, and the names that others have got."""
        name = identifier(wanted)
        if name in self._taken or hasattr(StubModel, name):
            name = f"{name}_"
        if name == wanted:
            return name, annotation, value
        name = untaken(name, taken)
        taken.add(name)
        told = literal(wanted)
        default = f"default={value}, " if value else ""
        return (
            name,
            annotation,
            f"Field({default}validation_alias={told}, serialization_alias={told})",
        )

    def add(self, name: str, doc: str, fields: list[str], extra: str = "") -> None:
        """The text of a model."""
        body = [*docstring("    ", doc)]
        if body and (extra or fields):
            body.append("")
        if extra:
            body += [f"    {extra}", *([""] if fields else [])]
        body += fields
        self.lines += ["", "", f"class {name}(StubModel):", *(body or ["    pass"])]

    def name_of(self, identity: str) -> str | None:
        """The model that was made of what is identified so."""
        return self._names.get(identity)

    def remember(self, identity: str, name: str) -> None:
        self._names[identity] = name


class _Document:
    """A schema with its definitions."""

    def __init__(self, models: Models, document: Schema, role: str) -> None:
        self._models = models
        self._role = role
        self._definitions: dict[str, Schema] = {"#": document}
        if isinstance(document, dict):
            for word in ("$defs", "definitions"):
                held = document.get(word)
                for name, schema in held.items() if isinstance(held, dict) else ():
                    self._definitions[f"#/{word}/{_escaped(name)}"] = schema
        self._within: list[str] = []

    def annotated(self, schema: Schema, hint: str = "") -> Annotation:
        if not isinstance(schema, dict) or not schema:
            return Annotation("Any")
        if "$ref" in schema:
            return self._referred(schema["$ref"])
        if "const" in schema or "enum" in schema:
            return literals(schema["enum"] if "enum" in schema else [schema["const"]])
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return union(self.annotated(one, hint) for one in schema[word])
        if isinstance(schema.get("allOf"), list):
            whole = schema["allOf"]
            return self.annotated(whole[0], hint) if len(whole) == 1 else any_json("allOf of several schemas")
        kind = schema.get("type")
        if isinstance(kind, list):
            return union(self.annotated({**schema, "type": one}, hint) for one in kind)
        if kind == "object" or "properties" in schema:
            return self._object(schema, hint)
        if kind == "array" or "items" in schema or "prefixItems" in schema:
            return self._array(schema, hint)
        if kind == "string":
            return Annotation(FORMATS.get(schema.get("format", ""), "str"))
        return Annotation(NATIVE[kind]) if kind in NATIVE else Annotation("Any")

    def _referred(self, reference: Schema) -> Annotation:
        if not isinstance(reference, str) or reference not in self._definitions:
            return any_json(f"a reference to {json.dumps(reference)}")
        target = self._definitions[reference]
        hint = reference.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")
        if reference in self._within and not _is_model(target):
            return any_json("a type that refers to itself")
        self._within.append(reference)
        try:
            return self.annotated(target, "" if hint == "#" else hint)
        finally:
            self._within.pop()

    def _array(self, schema: Mapping[str, Any], hint: str) -> Annotation:
        members = schema.get("prefixItems")
        if isinstance(members, list):
            if schema.get("minItems") == len(members) == schema.get("maxItems"):
                each = [self.annotated(one, hint) for one in members]
                inside = ", ".join(one.text for one in each) or "()"
                return Annotation(f"tuple[{inside}]", [text for one in each for text in one.remarks])
            return Annotation("list[Any]", ["a list that only begins as its schema says"])
        item = self.annotated(schema.get("items"), hint)
        return Annotation(f"list[{item.text}]", item.remarks)

    def _object(self, schema: Mapping[str, Any], hint: str) -> Annotation:
        if _is_model(schema):
            return Annotation(self._model(schema, hint))
        others = [*schema.get("patternProperties", {}).values()]
        if isinstance(schema.get("additionalProperties"), dict):
            others.append(schema["additionalProperties"])
        value = union(self.annotated(one, hint) for one in others) if others else Annotation("Any")
        return Annotation(f"dict[str, {value.text}]", value.remarks)

    def _model(self, schema: Mapping[str, Any], hint: str) -> str:
        title = schema.get("title")
        title = title if isinstance(title, str) and title else hint or self._role
        identity = json.dumps([title, self._closure(schema)], sort_keys=True)
        name = self._models.name_of(identity)
        if name is None:
            name = self._models.new_name(title, class_name(self._role))
            self._models.remember(identity, name)
            within, self._within = self._within, []
            fields = self._fields(schema)
            self._within = within
            extra = schema.get("additionalProperties")
            more = 'model_config = ConfigDict(extra="allow")' if extra not in (None, False) else ""
            self._models.add(name, _text(schema, "description"), fields, more)
        return name

    def _fields(self, schema: Mapping[str, Any]) -> list[str]:
        required = schema.get("required", [])
        lines: list[str] = []
        taken = {*schema["properties"]}
        # First all annotations, then the fields, whose names may not be those of classes that they use.
        annotations = {name: self.annotated(inner, name) for name, inner in schema["properties"].items()}
        for wanted, inner in schema["properties"].items():
            of = annotations[wanted]
            value = ""
            if wanted not in required:
                value = default_value(inner, of.text)
                if not value:
                    of = Annotation(of.or_none(), [*of.remarks, unknown_default(inner)])
                    value = "None"
            lines += comments(of.remarks)
            lines += statement("    ", *self._models.member(wanted, of.text, value, taken))
            lines += docstring("    ", _text(inner, "description"))
        return lines

    def _closure(self, schema: Schema) -> Schema:
        """``schema`` with all definitions that it reaches."""
        reached: dict[str, Schema] = {}
        waiting = [schema]
        while waiting:
            for reference in _references(waiting.pop()):
                if reference not in reached and reference in self._definitions:
                    reached[reference] = self._definitions[reference]
                    waiting.append(reached[reference])
        own = {name: value for name, value in schema.items() if name not in ("$defs", "definitions")}
        return [own, reached]


def _is_model(schema: Schema) -> bool:
    return isinstance(schema, dict) and bool(
        isinstance(schema.get("properties"), dict) and schema["properties"]
    )


def _references(schema: Schema) -> Iterable[str]:
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            elif name not in ("$defs", "definitions"):
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _text(schema: Schema, member: str) -> str:
    found = schema.get(member) if isinstance(schema, dict) else None
    return found if isinstance(found, str) else ""


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
