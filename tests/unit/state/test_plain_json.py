"""JSON of plain values; what pydantic adds to it is tested with ``schemas.pydantic.python_values``."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from flowstate_server.errors import JsonInvalidError, JsonNumberError
from flowstate_server.state.missing import MISSING
from flowstate_server.state.plain_json import Refused, plain_json
from flowstate_server.state.rules import NO_RULES

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_plain_values_become_a_fresh_tree() -> None:
    given: dict[str, Any] = {"a": [1, 2.5, None, True], "b": (1,), "c": MappingProxyType({"d": "e"})}
    made = plain_json(given, "")
    assert made == {"a": [1, 2.5, None, True], "b": [1], "c": {"d": "e"}}
    assert isinstance(made, dict)
    assert made["a"] is not given["a"]


def test_other_values_are_refused_by_their_place_and_type() -> None:
    with pytest.raises(JsonInvalidError, match="/at/a/1: a value of type datetime is not JSON"):
        plain_json({"a": [1, NOON]}, "/at")


def test_other_values_are_left_to_who_knows_them() -> None:
    def simplify(value: object) -> object:
        if value == NOON:
            return {"noon": {1.5}}
        if isinstance(value, set):
            return [*value, float("nan")]
        raise Refused(JsonInvalidError, "never seen")

    with pytest.raises(JsonNumberError, match="/a/noon/1: a double that is not finite"):
        plain_json({"a": NOON}, "", simplify)
    with pytest.raises(JsonInvalidError, match="/a: never seen"):
        plain_json({"a": b""}, "", simplify)


def test_without_rules_anything_may_be_stored() -> None:
    state: dict[str, Any] = {"a": 1}
    assert NO_RULES.check(state, frozenset(("a",)), {}) is state
    assert not NO_RULES.declares("a")
    assert NO_RULES.default_at(("a",)) is MISSING
