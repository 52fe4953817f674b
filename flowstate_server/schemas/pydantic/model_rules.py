"""What one model asks of a state: validation field by field, or of the whole model, and its defaults as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from flowstate_server.errors import FlowDefinitionError, FlowStateError, Violation
from flowstate_server.model.json_values import Json, JsonObject, encode_json, same_json
from flowstate_server.schemas.pydantic.aged import only_aged
from flowstate_server.schemas.pydantic.core_schemas import (
    CoreSchema,
    classes_in,
    for_reading,
    has_code,
    has_factory,
    has_type,
    model_parts,
    plain_type,
    sees_siblings,
    without_default,
)
from flowstate_server.schemas.pydantic.declarable import require_declarable, require_no_root_model
from flowstate_server.schemas.pydantic.factories import FactoryRaised, holds_made, varies
from flowstate_server.schemas.pydantic.faithful import is_faithful
from flowstate_server.schemas.pydantic.json_mode import validator_of
from flowstate_server.schemas.pydantic.partial_models import readers_of_aged, relaxed, serializer, validator
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.schemas.pydantic.same_form import is_map
from flowstate_server.schemas.pydantic.stored_form import same_value, shared, stored_form
from flowstate_server.state.json_pointer import format_pointer
from flowstate_server.state.missing import MISSING, Missing
from flowstate_server.state.plain_json import Refused, plain_json

M = TypeVar("M", bound=BaseModel)

NOT_A_FIXPOINT = "not_a_fixpoint"
_MAY_REFUSE = (
    "is changed by a model validator, which may only refuse: use a field validator, or a computed field"
)
NO_FIXPOINT = (
    "reads back as another value than was stored: its validators and serializers must give what they made once again, "
    "and the choices of a union differ in JSON. "
    "Make hashes, masks and counts in the block, or show them by a derived value"
)


class Unsettled(Exception):
    """Values that fit have no form in which they can be stored."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)


class LeftOut(Exception):
    """Model validators were not run, as the named fields do not fit, or not as they are stored."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)


class ModelRules(Generic[M]):
    """The rules of a model that declares state.

    State keys are field names, so a model with aliases, on whatever level, is no declaration of state; nor is one that
    takes extra fields, or a root model. Computed fields and private attributes are not state.

    ``names`` are its fields in order. ``whole`` tells that it has model validators. ``siblings`` tells that a field
    validator looks at other fields. ``coded`` are the fields that Python code validates, ``by_code`` those
    that it makes JSON of or fills, too, ``judged`` those of which it is proven at each write that what is stored reads
    back as it is. ``maps`` are those of which each record is validated by itself. ``drawn`` are those whose
    ``default_factory`` gives another value each time: they are absent until that is written, once for each record.
    """

    def __init__(self, model: type[M]) -> None:
        require_no_root_model(model)
        parts = model_parts(model)
        require_declarable(model, parts)
        decorators = model.__pydantic_decorators__
        self.model = model
        self.parts = parts
        self.names = tuple(parts.fields)
        self.name_set = frozenset(parts.fields)
        self.whole = bool(decorators.model_validators or decorators.root_validators)
        self.siblings = any(sees_siblings(schema) for schema in parts.fields.values())
        self.coded = frozenset(n for n, schema in parts.fields.items() if has_code(schema, parts.definitions))
        self.unfaithful = frozenset(
            name for name, schema in parts.fields.items() if not is_faithful(schema, parts)
        )
        self.judged = self.coded | self.unfaithful
        self.by_code = self.judged | {
            name
            for name, schema in parts.fields.items()
            if has_factory(without_default(schema), parts.definitions)
        }
        self.with_sets = frozenset(
            name
            for name, schema in parts.fields.items()
            if any(has_type(schema, kind, parts.definitions) for kind in ("set", "frozenset"))
        )
        self._plain = {
            name: kind
            for name, schema in parts.fields.items()
            if (kind := plain_type(schema, parts.config)) is not None
        }
        alone = {} if self.whole or self.siblings else parts.fields
        self.maps = frozenset(name for name, schema in alone.items() if is_map(schema, parts.config))
        some = validator(parts, with_defaults=False)
        self._validate_some, self._adopt = some.validate_json, some.validate_python
        self._validate_all = validator(parts, with_defaults=True).validate_json
        self.read_aged = readers_of_aged(parts)
        self._serialize = serializer(model, parts).to_python
        self._defaults: dict[str, Json] = {}
        drawn: set[str] = set()
        for name, info in model.model_fields.items():
            varying = holds_made(info.default) if info.default_factory is None else self._varies(name, info)
            if varying:
                drawn.add(name)
            elif not info.is_required():
                self._defaults[name] = self._default_json(name, info.get_default(call_default_factory=True))
        self.drawn = frozenset(drawn)

    def _varies(self, name: str, info: FieldInfo) -> bool:
        as_json = partial(self._default_json, name)
        try:
            return varies(info, as_json)
        except FactoryRaised as raised:
            raise FlowDefinitionError(f"{self.model.__qualname__}.{name}: {raised}") from raised.__cause__

    @cached_property
    def classes(self) -> frozenset[str]:
        """The names of the classes in it."""
        return classes_in(cast(CoreSchema, self.model.__pydantic_core_schema__), self.parts.definitions)

    @cached_property
    def _validate_whole(self) -> Callable[..., Any]:
        schema = cast(CoreSchema, self.model.__pydantic_core_schema__)
        aged = for_reading(schema)
        return validator_of(aged, of_their_own=aged is not schema).validate_json

    def is_plain(self, name: str, value: Json) -> bool:
        """Whether ``value`` fits the field by its type alone, and is stored as it is."""
        return type(value) is self._plain.get(name)

    @cached_property
    def _validate_aged(self) -> Callable[..., Any]:
        parts = relaxed(self.parts)
        return validator(parts, with_defaults=self.siblings, of_their_own=True).validate_json

    def typed(self, members: JsonObject, others: JsonObject, *, aged: bool = False) -> Mapping[str, Any]:
        """The Python values of ``members``; ``others`` are this model's other fields, for validators that look at them.

        ``aged`` leaves pydantic's checks against clock and machine out.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
        """
        given = self._in_order({**others, **members}) if self.siblings else members
        validate = self._validate_all if self.siblings else self._validate_some
        validate = self._validate_aged if aged else validate
        return cast(Mapping[str, Any], validate(encode_json(given), strict=True))

    def adopted(self, name: str, value: object) -> Any:
        """What the field makes of a Python value.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
        """
        return self._adopt({name: value})[name]

    def settle(
        self, members: JsonObject, others: JsonObject, defaults: JsonObject, before: JsonObject
    ) -> JsonObject:
        """Those of ``members`` whose stored form is another one, in it: what their validation returns, dumped.

        ``others`` are this model's other stored fields, ``defaults`` those that other models have for the absent ones.
        What was in the state ``before`` is not measured by clock or machine again.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
            Unsettled: a value that fits can't be stored, or is another one each time; or a stored neighbour changes.
        """
        try:
            typed = self.typed(members, {**defaults, **others})
        except ValidationError as error:
            if not (self.read_aged and only_aged(error, before)):
                raise
            typed = self.typed(members, {**defaults, **others}, aged=True)
        made = self.made(typed, members)
        changed = {name: value for name, value in made.items() if value is not members[name]}
        if moved := [name for name, value in self.made(typed, others).items() if value is not others[name]]:
            raise Unsettled(
                Violation(
                    format_pointer((name,)), "changed_by_neighbor", "would change with this one: write both"
                )
                for name in moved
            )
        if judged := changed.keys() & self.judged:
            self._require_fixpoint(judged, typed, {**members, **changed}, {**defaults, **others})
        return changed

    def _require_fixpoint(
        self, names: Iterable[str], typed: Mapping[str, Any], members: JsonObject, others: JsonObject
    ) -> None:
        try:
            again = self.typed(members, others, aged=bool(self.read_aged))
            made = self.made(again, {name: members[name] for name in names})
        except ValidationError:
            raise self._no_fixpoint(names) from None
        moved = [
            name
            for name, value in made.items()
            if value is not members[name]
            or (name in self.unfaithful and not same_value(typed[name], again[name]))
        ]
        if moved:
            raise self._no_fixpoint(moved)

    def _no_fixpoint(self, names: Iterable[str]) -> Unsettled:
        return Unsettled(
            Violation(format_pointer((name,)), NOT_A_FIXPOINT, NO_FIXPOINT) for name in sorted(names)
        )

    def made(self, typed: Mapping[str, Any], stored: JsonObject) -> JsonObject:
        """The JSON form of the values of ``stored``, which it gives where they are equal."""
        values = {name: typed[name] for name in stored}
        if not values:
            return {}
        try:
            dumped = self.dump(values)
        except ValueError:
            raise Unsettled(self._without_form(values)) from None
        made: JsonObject = {}
        for name, value in stored.items():
            if name not in dumped:
                continue
            ordered = name not in self.with_sets and not isinstance(values[name], set | frozenset)
            if ordered and looks_same(value, dumped[name]):
                made[name] = value
            elif ordered and name not in self.judged:
                made[name] = shared(value, dumped[name])
            else:
                made[name] = shared(value, self._mend(name, values[name], dumped[name]))
        return made

    def _mend(self, name: str, value: Any, dumped: Any) -> Json:
        try:
            mended = stored_form(value, dumped)
            return plain_json(mended, format_pointer((name,))) if name in self.judged else mended
        except Refused as refused:
            refused.steps.reverse()
            path = format_pointer((name, *refused.steps))
            raise Unsettled([Violation(path, "no_json_form", refused.problem)]) from None
        except FlowStateError as error:
            raise Unsettled([Violation(format_pointer((name,)), "no_json_form", str(error))]) from None

    def _without_form(self, values: Mapping[str, Any]) -> Iterable[Violation]:
        for name, value in values.items():
            try:
                self.dump({name: value})
            except ValueError:
                kind = type(value).__qualname__
                yield Violation(format_pointer((name,)), "no_json_form", f"this {kind} has no JSON form")

    def dump(self, values: dict[str, Any], *, strictly: bool = False) -> dict[str, Any]:
        """The JSON form of some fields' values, by the fields' own serializers.

        Raises:
            ValueError: one has none or, ``strictly``, is not what its field holds. Its text may hold
                values.
        """
        holder = _holder(self.model, values)
        warnings: Any = "error" if strictly else False
        return cast(
            dict[str, Any],
            self._serialize(holder, mode="json", by_alias=False, round_trip=True, warnings=warnings),
        )

    def check_whole(self, members: JsonObject, touched: frozenset[str]) -> tuple[Violation, ...]:
        """Validate the model, whose own defaults fill what is absent. Its validators may refuse, and change nothing.

        They are left out while a field that was not ``touched`` does not fit, or not as it is stored: that is for who
        reads or writes that field.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
            LeftOut: they were.
        """
        text = encode_json(self._in_order(members))
        try:
            made = self._validate_whole(text, strict=True)
        except ValidationError as error:
            places = {line["loc"][0] for line in _lines(error) if line["loc"]}
            if stale := self.name_set - touched & places:
                raise LeftOut(stale) from None
            raise
        if not isinstance(made, BaseModel):
            problem = f"a model validator of {self.model.__qualname__} gives no model: it must return self"
            return (Violation("", "changed_by_model_validator", problem),)
        moved = self._moved(members, made.__dict__)
        changed = [name for name in moved if self._stands(name, members, touched)]
        if moved and not changed:
            raise LeftOut(moved)
        return tuple(
            Violation(format_pointer((name,)), "changed_by_model_validator", _MAY_REFUSE) for name in changed
        )

    def _moved(self, members: JsonObject, values: Mapping[str, Any]) -> list[str]:
        before = {name: members.get(name, self._defaults.get(name, MISSING)) for name in self.names}
        stored = {name: value for name, value in before.items() if value is not MISSING and name in values}
        made = self.made(values, stored)
        return [name for name, value in stored.items() if name not in made or made[name] is not value]

    def _stands(self, name: str, members: JsonObject, touched: frozenset[str]) -> bool:
        """Whether the field by itself is as it is stored, so that what changes it is a model validator."""
        if name in touched or name not in members:
            return True
        try:
            return not self.settle({name: members[name]}, {}, {}, members)
        except (ValidationError, Unsettled):
            return False

    def read(self, name: str, state: JsonObject) -> Any:
        """The Python value of a field that ``state`` has.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
        """
        value = state[name]
        if type(value) is self._plain.get(name):
            return value
        if name in self.read_aged:
            return self.read_aged[name](encode_json({name: value}), strict=True)[name]
        others = {n: state[n] for n in self.names if n in state} if self.siblings else {}
        return self.typed({name: value}, others)[name]

    def _in_order(self, members: JsonObject) -> JsonObject:
        return {name: members[name] for name in self.names if name in members}

    def has_default(self, name: str) -> bool:
        return name in self._defaults

    def default(self, name: str) -> Json | Missing:
        """This model's default of a field, as JSON. Don't modify it."""
        return self._defaults.get(name, MISSING)

    def draw(self, name: str) -> Json:
        """What one of the ``drawn`` fields begins as, as JSON."""
        return self._default_json(name, self.model.model_fields[name].get_default(call_default_factory=True))

    def default_value(self, name: str) -> Any:
        """This model's default of a field, as pydantic would put it into an instance."""
        info: FieldInfo = self.model.model_fields[name]
        if info.validate_default or (
            info.validate_default is None and self.parts.config.get("validate_default")
        ):
            return self.typed({name: cast(Json, self.default(name))}, {})[name]
        return info.get_default(call_default_factory=True)

    def _default_json(self, name: str, value: object) -> Json:
        path = format_pointer((name,))
        try:
            try:
                dumped = self.dump({name: value})[name]
            except (ValueError, KeyError):
                dumped = to_json(value, path)
            default = plain_json(stored_form(value, dumped), path)
        except (FlowStateError, Refused) as error:
            problem = error.problem if isinstance(error, Refused) else error
            raise FlowDefinitionError(
                f"{self.model.__qualname__}: a default is not JSON: {problem}"
            ) from None
        try:
            return self.settle({name: default}, {}, {}, {}).get(name, default)
        except (ValidationError, Unsettled):
            return default  # pydantic does not validate defaults, and some are meant not to fit


def _holder(model: type[BaseModel], values: dict[str, Any]) -> BaseModel:
    holder = model.__new__(model)
    object.__setattr__(holder, "__dict__", values)
    object.__setattr__(holder, "__pydantic_fields_set__", set(values))
    object.__setattr__(holder, "__pydantic_extra__", None)
    object.__setattr__(holder, "__pydantic_private__", None)
    return holder


def _lines(error: ValidationError) -> list[Any]:
    return cast(list[Any], error.errors(include_url=False, include_input=False, include_context=False))


def looks_same(stored: Json, dumped: Any) -> bool:
    """Whether ``dumped``, which may be no JSON, is the same JSON."""
    try:
        return same_json(stored, dumped)
    except TypeError:  # what a validator made may be no JSON
        return False
