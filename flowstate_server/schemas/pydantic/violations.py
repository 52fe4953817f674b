"""Pydantic's refusals as violations that name place, rule and expectation, and never what was refused."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import PydanticKnownError

from flowstate_server.errors import Violation
from flowstate_server.model.json_values import Json
from flowstate_server.state.json_pointer import format_pointer

# More would help nobody, and a list of a million wrong entries has a million. What fits of them is sent.
MAX_VIOLATIONS = 50

_AUTHORS = ("value_error", "assertion_error")
# What the schema says; every other placeholder of a template may tell of the input.
# fmt: off
_STATIC_CONTEXT = frozenset((
    "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "field_type", "expected", "class",
    "class_name", "max_digits", "decimal_places", "whole_digits", "discriminator", "expected_tags",
    "expected_schemes", "expected_version", "tz_expected", "pattern",
))
# fmt: on
_OF_INPUT = re.compile(r"[,:] (?:error: |not |got )?\{(?:error|encoding_error|actual_length|tz_actual)\}")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PRINTABLE = (str, int, float, Decimal, date, time, timedelta)


def violations_of(
    error: ValidationError, document: Json, coded: Set[str], classes: Set[str], *, whole: bool = True
) -> tuple[Violation, ...]:
    """The violations in ``error``, which refused ``document``.

    ``coded`` are the top-level members that Python code validates, ``whole`` says whether it validates the whole, too:
    that code may raise any of pydantic's errors with any text in it, so of those only the fixed words are taken, and
    names of ``classes``, which are the schema's.
    """
    found: dict[tuple[str, str], Violation] = {}
    for line in error.errors(include_url=False, include_input=False):
        location = line["loc"]
        by_code = location[0] in coded if location else whole
        path = format_pointer(_place(document, location, line["type"] == "missing" and not by_code))
        rule, message = _rule(line["type"], line["msg"], line.get("ctx"), classes if by_code else None)
        found.setdefault((path, rule), Violation(path, rule, message))
        if len(found) == MAX_VIOLATIONS:
            break
    return tuple(found.values())


def _place(document: Json, location: Sequence[str | int], missing: bool) -> tuple[str, ...]:
    """The steps of ``location`` that lead through ``document``; pydantic mixes in the names of union branches."""
    node: Any = document
    steps: list[str] = []
    if location and location[-1] == "[key]":  # a refused key is a refused value: name the map
        location = location[:-2]
    for step in location:
        if isinstance(node, dict):
            if step not in node:
                continue
        elif not isinstance(node, list) or not isinstance(step, int) or step >= len(node):
            continue
        node = node[step]
        steps.append(str(step))
    if missing and isinstance(node, dict) and isinstance(location[-1], str) and location[-1] not in node:
        steps.append(location[-1])
    return tuple(steps)


def _rule(kind: str, message: str, context: dict[str, Any] | None, known: Set[str] | None) -> tuple[str, str]:
    """Rule and message. Pydantic's own message is a template filled from ``context``, fine if that is the schema's.
    Where code has filled it, ``known`` are the names of classes that may stand in it."""
    if kind in _AUTHORS:
        return kind, "refused by a validator"
    try:
        template = PydanticKnownError(cast(Any, kind), context).message_template
    except (KeyError, TypeError, ValueError):
        return "custom_error", "refused by a validator"
    context = context or {}
    if known is not None:
        context = {name: value for name, value in context.items() if _names_class(name, value, known)}
    elif context.keys() <= _STATIC_CONTEXT:
        return kind, message
    return kind, _PLACEHOLDER.sub(lambda match: _word(match[1], context), _OF_INPUT.sub("", template))


def _names_class(name: str, value: object, known: Set[str]) -> bool:
    return name in ("class", "class_name") and type(value) is str and value in known


def _word(name: str, context: dict[str, Any]) -> str:
    if name == "expected_plural":
        return "(s)"
    value = context.get(name)
    return str(value) if name in _STATIC_CONTEXT and isinstance(value, _PRINTABLE) else "…"
