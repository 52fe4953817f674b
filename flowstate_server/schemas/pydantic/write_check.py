"""Validating a write: what the models that declare fields of one scope make of them, together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from flowstate_server.errors import StateValidationError, Violation
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.nearest import did_you_mean
from flowstate_server.schemas.pydantic.merged_field import MergedField
from flowstate_server.schemas.pydantic.model_rules import LeftOut, ModelRules, Unsettled
from flowstate_server.schemas.pydantic.violations import violations_of
from flowstate_server.state.code_raised import raise_named
from flowstate_server.state.code_time import timed
from flowstate_server.state.json_pointer import format_pointer, parse_pointer
from flowstate_server.state.missing import MISSING, Missing

_log = logging.getLogger(__name__)


class WriteCheck:
    """Does what :meth:`ModelSchema.check` promises; ``default`` is what absent fields read as."""

    def __init__(
        self,
        scope: str,
        rules: Sequence[ModelRules[Any]],
        fields: Mapping[str, MergedField],
        default: Callable[[str], Json | Missing],
        flow_kind: str,
    ) -> None:
        self._scope = scope
        self._rules = rules
        self._fields = fields
        self._default = default
        self._flow_kind = flow_kind
        self._left_out: set[tuple[type[BaseModel], str]] = set()

    def __call__(self, state: JsonObject, touched: frozenset[str], before: JsonObject) -> JsonObject:
        problems = [
            Violation(
                format_pointer((name,)),
                "undeclared",
                f"is not declared by this flow{did_you_mean(name, self._fields)}",
            )
            for name in sorted(touched - self._fields.keys())
        ]
        governing = [rules for rules in self._rules if not rules.name_set.isdisjoint(touched)]
        changed_by: dict[str, ModelRules[Any]] = {}
        for rules in governing:
            found = len(problems)
            changed = self._settled(rules, state, touched, before, problems)
            problems[found:] = [_with_maker(problem, rules, changed_by) for problem in problems[found:]]
            if changed:
                state = {**state, **changed}
                changed_by.update(dict.fromkeys(changed, rules))
        if changed_by and len(governing) > 1 and not problems:
            self._require_agreement(governing, state, changed_by, before, problems)
        if not problems:
            self._check_wholes(governing, state, touched, problems)
        if problems:
            raise StateValidationError(self._scope, tuple(dict.fromkeys(problems)))
        return state

    def _settled(
        self,
        rules: ModelRules[Any],
        state: JsonObject,
        touched: Set[str],
        before: JsonObject,
        problems: list[Violation],
    ) -> JsonObject:
        """What ``rules`` make of the touched fields, as far as it is another thing."""
        members = {name: state[name] for name in rules.name_set & touched if name in state}
        others: JsonObject = {}
        defaults: JsonObject = {}
        if rules.siblings:
            others = {name: state[name] for name in rules.names if name in state and name not in members}
            shown = self._with_merged_defaults(rules, {**others, **members})
            defaults = {name: value for name, value in shown.items() if name not in state}
        else:
            members = {name: value for name, value in members.items() if not rules.is_plain(name, value)}
        if not (members or others):
            return {}
        coded = rules.by_code & members.keys()
        if not coded:
            return self._settled_part(rules, members, others, defaults, before, state, problems)
        if rules.siblings:
            with timed(coded, problems):
                return self._settled_part(rules, members, others, defaults, before, state, problems)
        changed: JsonObject = {}
        for name in coded:  # each by itself, to know how long it takes
            with timed((name,), problems):
                changed |= self._settled_part(
                    rules, {name: members.pop(name)}, {}, {}, before, state, problems
                )
        if members:
            changed |= self._settled_part(rules, members, {}, {}, before, state, problems)
        return changed

    def _settled_part(
        self,
        rules: ModelRules[Any],
        members: JsonObject,
        others: JsonObject,
        defaults: JsonObject,
        before: JsonObject,
        state: JsonObject,
        problems: list[Violation],
    ) -> JsonObject:
        try:
            return rules.settle(members, others, defaults, before)
        except ValidationError as error:
            problems += violations_of(error, state, rules.coded, rules.classes)
        except Unsettled as unsettled:
            problems += unsettled.violations
        except BaseException as error:
            by_code = rules.by_code & (members.keys() | others.keys())
            raise_named(
                error,
                self._scope,
                by_code,
                "its validator" if by_code & rules.coded else "its default_factory",
            )
        return {}

    def _require_agreement(
        self,
        governing: Sequence[ModelRules[Any]],
        state: JsonObject,
        changed_by: Mapping[str, ModelRules[Any]],
        before: JsonObject,
        problems: list[Violation],
    ) -> None:
        """Refuse what one model makes of a field if another one would make something else of that."""
        shared = frozenset(name for name in changed_by if len(self._fields[name].rules) > 1)
        for rules in governing:
            for name in self._settled(rules, state, shared, before, problems):
                one, other = changed_by[name].model.__qualname__, rules.model.__qualname__
                message = (
                    f"is made into one value by {one} and into another one by {other}, which both declare it: "
                    "give them the same validators"
                )
                problems.append(Violation(format_pointer((name,)), "declared_differently", message))

    def _check_wholes(
        self,
        governing: Sequence[ModelRules[Any]],
        state: JsonObject,
        touched: frozenset[str],
        problems: list[Violation],
    ) -> None:
        for rules in governing:
            if not rules.whole:
                continue
            members = {name: state[name] for name in rules.names if name in state}
            members = self._with_merged_defaults(rules, members)
            absent = [name for name in rules.names if name not in members and not rules.has_default(name)]
            if absent:
                self._warn_of_left_out(rules, "absent", absent)
                continue
            with timed(rules.name_set & touched, problems):
                try:
                    problems += rules.check_whole(members, touched)
                except LeftOut as left_out:
                    self._warn_of_left_out(rules, "stale", left_out.names)
                except ValidationError as error:
                    problems += violations_of(error, state, rules.coded, rules.classes)
                except Unsettled as unsettled:
                    problems += unsettled.violations
                except BaseException as error:
                    whose = f"a validator of {rules.model.__qualname__}"
                    raise_named(error, self._scope, rules.name_set & touched, whose)

    def _warn_of_left_out(self, rules: ModelRules[Any], why: str, names: Iterable[str]) -> None:
        """Once for each model: it says what authors may not expect, and would say it at every write."""
        if (rules.model, why) not in self._left_out:
            self._left_out.add((rules.model, why))
            _log.warning(
                "the model validators of %s are left out of writes to the %s state%s while a field of it is %s: %s",
                rules.model.__qualname__,
                self._scope,
                f' of flow "{self._flow_kind}"' if self._flow_kind else "",
                why,
                ", ".join(sorted(names)),
            )

    def _with_merged_defaults(self, rules: ModelRules[Any], members: JsonObject) -> JsonObject:
        """Add the defaults that other models have for this model's fields; its own pydantic adds."""
        for name in rules.names:
            if name not in members and not rules.has_default(name):
                default = self._default(name)
                if default is not MISSING:
                    members[name] = default
        return members


def _with_maker(
    problem: Violation, rules: ModelRules[Any], changed_by: Mapping[str, ModelRules[Any]]
) -> Violation:
    """``problem`` that ``rules`` have with what another model has made of the value, with the names of both."""
    maker = changed_by.get(parse_pointer(problem.path)[0]) if problem.path else None
    if maker is None:
        return problem
    one, other = maker.model.__qualname__, rules.model.__qualname__
    return replace(problem, message=f"{problem.message}, says {other} of what {one} makes of it")
