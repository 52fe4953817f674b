"""The merged schema of one scope: what fields there are, what may be stored in them, and how they read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import cached_property
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from flowstate_server.model.json_values import Json, JsonObject, canonical_json, same_json
from flowstate_server.schemas.known import has_objects, knower, known, lacks_made, makes_members, without_made
from flowstate_server.schemas.pydantic.conversions import Conversions
from flowstate_server.schemas.pydantic.discovery import merged_json_schema
from flowstate_server.schemas.pydantic.merged_field import MergedField
from flowstate_server.schemas.pydantic.model_rules import ModelRules
from flowstate_server.schemas.pydantic.nested_default import nested_default
from flowstate_server.schemas.pydantic.read_again import read_again
from flowstate_server.schemas.pydantic.read_only import advice_in_block, advice_in_change
from flowstate_server.schemas.pydantic.same_form import keeps_form
from flowstate_server.schemas.pydantic.seen_by_code import seen_by_code
from flowstate_server.schemas.pydantic.view import MergedView, ViewMaker
from flowstate_server.schemas.pydantic.write_check import WriteCheck
from flowstate_server.schemas.reading import AS_STORED, Reading
from flowstate_server.schemas.shape import Shape, canonical_shape, declared_otherwise
from flowstate_server.state.json_pointer import Pointer
from flowstate_server.state.missing import MISSING, Missing

M = TypeVar("M", bound=BaseModel)

_NOTHING: Set[str] = frozenset()


class ModelSchema(Conversions):
    """What the models that declare state in one scope, or of a resource, ask of it, together. Made by
    ``merge_declarations``. ``written`` is how blocks write to it.

    A field without declaration is none: an empty schema declares nothing.
    """

    def __init__(
        self,
        scope: str,
        rules: Sequence[ModelRules[Any]] = (),
        fields: Mapping[str, MergedField] | None = None,
        flow_kind: str = "",
        written: str = "",
    ) -> None:
        self.written = written or ("ctx.block_state(...)" if scope == "block" else f"ctx.{scope}")
        self._rules = tuple(rules)
        self._fields = dict(fields or {})
        super().__init__(scope, {name: merged.rules[0] for name, merged in self._fields.items()})
        self._write_check = WriteCheck(scope, self._rules, self._fields, self.default, flow_kind)
        self._makers: dict[tuple[type[BaseModel], bool], ViewMaker[Any]] = {}

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the declared fields, in the order of their first declarations."""
        return tuple(self._fields)

    @property
    def models(self) -> tuple[type[BaseModel], ...]:
        return tuple(rules.model for rules in self._rules)

    def declares(self, name: str) -> bool:
        return name in self._fields

    def required(self, name: str) -> bool:
        """Whether a declared field is absent until it is written."""
        return self._fields[name].default is None

    def shape(self, name: str) -> Shape:
        return self._fields[name].shape

    def declared_in(self, name: str) -> Sequence[str]:
        merged = self._fields.get(name)
        rules = () if merged is None else merged.rules
        return [f"{one.model.__module__}.{one.model.__qualname__}" for one in rules]

    def default(self, name: str) -> Json | Missing:
        """The default of a field in JSON form, ``MISSING`` if it has none. Don't modify it."""
        merged = self._fields.get(name)
        return MISSING if merged is None or merged.default is None else merged.default.default(name)

    def default_at(self, pointer: Pointer) -> Json | Missing:
        """:meth:`default` for any place: below the top level, that of the nested model's field, if it is one."""
        if len(pointer) == 1:
            return self.default(pointer[0])
        merged = self._fields.get(pointer[0])
        return MISSING if merged is None else nested_default(merged.rules[0].model, pointer)

    def declared_otherwise(self, pointer: Pointer, kind: str) -> str:
        merged = self._fields.get(pointer[0])
        return "" if merged is None else declared_otherwise(merged.shape, pointer[1:], kind)

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        """The names of the fields whose factory gives another value each time."""
        return tuple(name for name, merged in self._fields.items() if merged.drawn is not None)

    @cached_property
    def partly_drawn(self) -> tuple[str, ...]:
        """The names of the fields in which there may be members that are made anew each time where they are absent."""
        return tuple(name for name in self._fields if makes_members(self.shape(name)))

    def incomplete(self, state: JsonObject) -> tuple[str, ...]:
        """Those of ``partly_drawn`` whose stored value lacks such members."""
        return tuple(
            name for name in self.partly_drawn if name in state and lacks_made(self.shape(name), state[name])
        )

    def draw(self, name: str) -> Json:
        """What the factory of one of the ``drawn`` fields gives.

        Raises:
            Exception: what the factory raises.
        """
        rules = self._fields[name].drawn
        if rules is None:
            raise LookupError(f'field "{name}" has no factory that gives another value each time')
        return rules.draw(name)

    def with_defaults(self, state: JsonObject) -> JsonObject:
        """``state`` as it reads: with the defaults of absent fields, and without nested members that the schema does
        not have. Fields without default stay absent."""
        shown = {
            name: value
            for name in self._fields
            if name not in state and (value := self.default(name)) is not MISSING
        }
        for name, knows in self._with_objects:
            if name in state and not knows(state[name]):
                shown[name] = cast(Json, known(self.shape(name), state[name]))
        return {**state, **shown} if shown else state

    @cached_property
    def _with_objects(self) -> tuple[tuple[str, Callable[[Json], bool]], ...]:
        return tuple(
            (name, knower(self.shape(name))) for name in self._fields if has_objects(self.shape(name))
        )

    @cached_property
    def changeable(self) -> tuple[str, ...]:
        """The names of the fields whose stored value may read as another one."""
        return tuple(
            name
            for name, merged in self._fields.items()
            if not keeps_form(merged.reader.parts.fields[name], merged.reader.parts.config)
        )

    def read_again(self, state: JsonObject, names: Iterable[str]) -> Reading:
        """What the stored values of ``names`` are to today's schema."""
        by_rules: dict[ModelRules[Any], list[str]] = {}
        for name in names:
            merged = self._fields.get(name)
            if merged is not None and name in state:
                rules = merged.reader
                if not rules.is_plain(name, state[name]):
                    by_rules.setdefault(rules, []).append(name)
        values: JsonObject = {}
        unreadable: list[str] = []
        for rules, some in by_rules.items():
            made = read_again(rules, state, some)
            unreadable += [name for name in some if name not in made]
            values |= {name: value for name, value in made.items() if value is not state[name]}
        for name in self.partly_drawn if values else ():
            if name in values:
                shown = self._without_made(name, state[name], values.pop(name))
                values |= {} if same_json(shown, state[name]) else {name: shown}
        return Reading(values, frozenset(unreadable)) if values or unreadable else AS_STORED

    def _without_made(self, name: str, stored: Json, read: Json) -> Json:
        """``read`` without the members that each reading makes anew, until they are stored. What an author's code makes
        of all else is shown: it may be there to mask it."""
        if name in self._fields[name].reader.coded:
            return without_made(self.shape(name), stored, read)
        return stored if lacks_made(self.shape(name), stored) else read

    def by_record(self, name: str) -> bool:
        merged = self._fields.get(name)
        return merged is not None and all(name in rules.maps for rules in merged.rules)

    def seen_by_code(self, touched: Set[str]) -> Set[str]:
        """The fields that :meth:`check` of these shows to code of an author, touched or not."""
        by_field = self._seen_by_code
        seen = [by_field[name] for name in touched if name in by_field] if by_field else ()
        return frozenset().union(*seen) if seen else _NOTHING

    @cached_property
    def _seen_by_code(self) -> dict[str, frozenset[str]]:
        return seen_by_code(self._rules)

    def check(self, state: JsonObject, touched: frozenset[str], before: JsonObject) -> JsonObject:
        """Validate the touched fields of a state that is about to be stored, and give them as they are to be stored.

        Each must be declared and, if present, fit every model that declares it, strictly and as JSON. What is stored
        is the JSON form of what validation returns; validating that again gives it again, by each of the models. A
        model with model validators, which may only refuse, is validated as a whole if it declares a touched field and
        all its fields are present; a default counts as present, for it shows on read. Fields of a model some of whose
        field validators look at others are validated together. What was in the same field of ``before`` is not measured
        by clock or machine again.

        Returns:
            ``state``, with the touched fields in stored form.

        Raises:
            StateValidationError: with JSON Pointers and rules, never values.
            Exception: whatever a validator raises that is not its way to refuse; see ``raise_named``.
        """
        return self._write_check(state, touched, before)

    def view(self, model: type[M], state: JsonObject, *, in_change: bool = False) -> M:
        """``state`` as a ``model`` that can't be assigned to; see :mod:`flowstate_server.schemas.pydantic.view`.

        ``BaseModel`` stands for all fields of all models: :meth:`merged_view`. ``in_change`` is for the function that
        ``atomic_state`` calls: what a refused write advises is another thing there.
        """
        if model is BaseModel:
            return cast(M, self.merged_view(state, in_change=in_change))
        return cast(M, self._maker(model, in_change).make(state))

    def merged_view(self, state: JsonObject, *, in_change: bool = False) -> MergedView:
        """``state`` with all declared fields, as what functions that compute from state are given."""
        makers = self._changing_field_makers if in_change else self._field_makers
        return MergedView(self.scope, makers, state)

    def _maker(self, model: type[BaseModel], in_change: bool) -> ViewMaker[Any]:
        maker = self._makers.get((model, in_change))
        if maker is None:
            rules = next((rules for rules in self._rules if rules.model is model), None)
            advice = advice_in_change(self.written) if in_change else advice_in_block(self.written)
            maker = ViewMaker(rules or ModelRules(model), self.scope, self.default, advice)
            self._makers[model, in_change] = maker
        return maker

    @cached_property
    def _field_makers(self) -> dict[str, ViewMaker[Any]]:
        return self._makers_of_fields(in_change=False)

    @cached_property
    def _changing_field_makers(self) -> dict[str, ViewMaker[Any]]:
        return self._makers_of_fields(in_change=True)

    def _makers_of_fields(self, *, in_change: bool) -> dict[str, ViewMaker[Any]]:
        return {name: self._maker(merged.reader.model, in_change) for name, merged in self._fields.items()}

    def json_schema(self) -> JsonObject:
        """The JSON Schema of the scope, merged of its models'. Don't modify it."""
        return self._json_schema

    @cached_property
    def _json_schema(self) -> JsonObject:
        declarers = {name: [rules.model for rules in merged.rules] for name, merged in self._fields.items()}
        title = "".join(re.findall(r"\w+", self.scope.title())) + "State"
        return merged_json_schema(title, declarers, self.default, self.required)

    @cached_property
    def hash(self) -> str:
        """Equal for schemas with equal fields, shapes and defaults, in every process that runs the same code."""
        parts: dict[str, Json] = {}
        for name, merged in self._fields.items():
            default: Json = "none" if merged.drawn is None else "made"
            if merged.default is not None:
                default = [canonical_json(cast(Json, self.default(name))).decode()]
            parts[name] = [canonical_shape(merged.shape, exact=False).decode(), default]
        return hashlib.sha256(canonical_json(parts)).hexdigest()[:32]
