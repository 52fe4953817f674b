"""The JSON form of stored values as the models of today read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from flowstate_server.model.json_values import JsonObject
from flowstate_server.schemas.pydantic.model_rules import ModelRules, looks_same


def read_again(rules: ModelRules[Any], state: JsonObject, names: Sequence[str]) -> JsonObject:
    """The JSON form of what ``rules`` read of ``names`` in ``state``; where it is equal the stored value itself.

    Those for which :meth:`ModelRules.read` raises, whatever an author's code does, or which have no such form, are left
    out.
    """
    together = {name: state[name] for name in names if name not in rules.read_aged}
    alone = [name for name in names if name in rules.read_aged]
    others = {n: state[n] for n in rules.names if n in state} if rules.siblings else {}
    made: JsonObject = {}
    try:  # usually all are well, and one call costs little more than one field
        made = _made(rules, rules.typed(together, others), together) if together else {}
    except BaseException:  # code of authors may raise anything, which is no reason to show nothing
        alone += together
    for name in alone:
        with suppress(BaseException):
            made |= rules.made({name: rules.read(name, state)}, {name: state[name]})
    return made


def _made(rules: ModelRules[Any], typed: Mapping[str, Any], stored: JsonObject) -> JsonObject:
    """:meth:`ModelRules.made`, which goes field by field, of what can't be seen at once to be as it is stored."""
    rest = {
        name: value
        for name, value in stored.items()
        if name in rules.judged
        or type(value) in (dict, list)
        or type(typed[name]) is not type(value)
        or typed[name] != value
    }
    if not rest or (rules.with_sets.isdisjoint(rest) and _dumps_as(rules, typed, rest)):
        return stored
    return {name: value for name, value in stored.items() if name not in rest} | rules.made(typed, rest)


def _dumps_as(rules: ModelRules[Any], typed: Mapping[str, Any], stored: JsonObject) -> bool:
    try:
        return looks_same(stored, rules.dump({name: typed[name] for name in stored}))
    except ValueError:
        return False
