"""Which fields code of authors is shown when others are written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowstate_server.schemas.pydantic.model_rules import ModelRules


def seen_by_code(all_rules: Iterable[ModelRules[Any]]) -> dict[str, frozenset[str]]:
    """By field, the fields that code of authors is shown when that one is written."""
    seen: dict[str, frozenset[str]] = {}
    for rules in all_rules:
        together = rules.whole or rules.siblings
        for name in rules.name_set if together else rules.by_code:
            seen[name] = seen.get(name, frozenset()) | (rules.name_set if together else {name})
    return seen
