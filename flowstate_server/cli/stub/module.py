"""The module of a stub: models, then a class for each flow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flowstate_client.flow_info import ActionInfo, FlowInfo, ResourceInfo, ScopeInfo
from flowstate_client.models import Scope
from flowstate_client.typed_flow import TypedFlow
from flowstate_server.cli.stub.layout import docstring, literal, statement
from flowstate_server.cli.stub.models import Models
from flowstate_server.cli.stub.names import class_name, identifier, untaken

OF_CLIENT = ("FlowStateClient",)
OF_MODELS = ("StubModel",)
OF_FLOWS = ("TypedAction", "TypedFlow")
OF_PYDANTIC = ("ConfigDict", "Field")
SHOWN_SCOPES = (Scope.SESSION, Scope.USER, Scope.ORG)


def stub_of(flows: Sequence[FlowInfo], made_by: str, *, package: str = "flowstate_client") -> str:
    """The source text of a typed client of ``flows``.

    Args:
        made_by: The command that makes it anew.
        package: Where the client is from: ``flowstate_client.sync`` for the synchronous one.
    """
    models = Models({*OF_CLIENT, *OF_MODELS, *OF_FLOWS, *OF_PYDANTIC, "UUID"})
    classes = [models.new_name(f"{class_name(flow.flow_kind)}Flow") for flow in flows]
    lines = [
        line for name, flow in zip(classes, flows, strict=True) for line in _flow_class(name, flow, models)
    ]
    body = "\n".join([*models.lines, *lines])
    return "\n".join([*_header(flows, made_by), *_imports(body, package), body, ""])


def _header(flows: Sequence[FlowInfo], made_by: str) -> list[str]:
    kinds = ", ".join(flow.flow_kind for flow in flows)
    text = f"Typed client of: {kinds}.\n\nWritten by a program. Make it anew instead of editing it:\n\n    {made_by}"
    return [*docstring("", text), "", "# ruff: noqa", "", "from __future__ import annotations", ""]


def _imports(body: str, package: str) -> list[str]:
    def used(names: Iterable[str]) -> list[str]:
        return [name for name in names if re.search(rf"(?<![\w.\"']){name}\b(?!['\"])", body)]

    standard = ["import datetime as dt"] if "dt." in body else []
    if typing := used(("Any", "Literal")):
        standard.append(f"from typing import {', '.join(typing)}")
    if used(("UUID",)):
        standard.append("from uuid import UUID")
    if standard:
        standard.append("")
    pydantic = [f"from pydantic import {', '.join(names)}", ""] if (names := used(OF_PYDANTIC)) else []
    own: dict[str, list[str]] = {}
    for module, offered in (
        (package, OF_CLIENT),
        (f"{package}.typed_flow", OF_FLOWS),
        ("flowstate_client.typed_flow", OF_MODELS),
    ):
        own[module] = sorted([*own.get(module, []), *used(offered)])
    return [
        *standard,
        *pydantic,
        *(f"from {module} import {', '.join(names)}" for module, names in own.items() if names),
    ]


def _flow_class(name: str, flow: FlowInfo, models: Models) -> Iterator[str]:
    stem = class_name(flow.flow_kind)
    taken = {"flow_kind", *(member for member in dir(TypedFlow) if not member.startswith("__"))}
    actions = [line for action in flow.actions for line in _action(action, flow, models, taken)]
    view = _view(stem, flow, models)
    yield from ("", "", f"class {name}(TypedFlow[{view}]):")
    if doc := docstring("    ", flow.description):
        yield from (*doc, "")
    yield "    def __init__(self, client: FlowStateClient) -> None:"
    yield f"        super().__init__(client, {literal(flow.flow_kind)}, {view})"
    yield from actions


def _action(action: ActionInfo, flow: FlowInfo, models: Models, taken: set[str]) -> Iterator[str]:
    stem = class_name(action.name)
    given = models.annotation(action.input_schema, role=f"{stem}Input")
    made = models.annotation(action.output_schema, role=f"{stem}Output")
    name = untaken(identifier(action.name), taken, "_")
    taken.add(name)
    for remark in dict.fromkeys([*given.remarks, *made.remarks]):
        yield f"        # {remark}"
    value = f"TypedAction(client, {literal(flow.flow_kind)}, {literal(action.name)}, {made.text})"
    yield from statement("        ", f"self.{name}", f"TypedAction[{given.text}, {made.text}]", value)
    yield from docstring("        ", action.description)


def _view(stem: str, flow: FlowInfo, models: Models) -> str:
    """The model of what the flow shows, with a model for each scope of which it shows something."""
    members: list[str] = []
    for scope in SHOWN_SCOPES:
        shown = [*_shown_fields(flow.scopes, scope), *_shown_resources(flow.resources, scope, stem, models)]
        if not shown:
            continue
        schema: Any = next((one.state_schema for one in flow.scopes if one.scope is scope), {})
        doc = f"What clients see of the {scope}; what is absent is None."
        role = f"{stem}{scope.capitalize()}"
        name = models.partial(f"{role}View", shown, schema, doc=doc, role=role)
        members.append(f"    {scope}: {name} = {name}()")
    made = models.new_name(f"{stem}View")
    models.add(made, "", members)
    return made


def _shown_fields(scopes: Iterable[ScopeInfo], scope: Scope) -> Iterator[tuple[str, Any, str]]:
    for one in scopes:
        if one.scope is scope:
            fields = one.state_schema.get("properties", {}) if isinstance(one.state_schema, dict) else {}
            for name in sorted(one.exposed):
                yield name, fields.get(name), ""
            for name in sorted(one.derived):
                yield name, None, "derived by the flow"


def _shown_resources(
    resources: Iterable[ResourceInfo], scope: Scope, stem: str, models: Models
) -> Iterator[tuple[str, Any, str]]:
    """Single ones of which fields are shown. What a flow computes of a resource has no schema, and is left out."""
    for one in resources:
        if one.scope is scope and one.exposed and not re.search(r"[*{]", one.name):
            document = one.state_schema if isinstance(one.state_schema, dict) else {}
            fields = document.get("properties", {})
            role = f"{stem}{class_name(one.name)}"
            shown = [(name, fields.get(name), "") for name in one.exposed]
            doc = f"What clients see of the resource {one.name}; what is absent is None."
            yield one.name, models.partial(f"{role}View", shown, document, doc=doc, role=role), ""
