"""What one model asks of a state: validation field by field, or of the whole model, and its defaults as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import SchemaValidator, core_schema

from flowstate_server.errors import FlowDefinitionError, FlowStateError
from flowstate_server.model.json_values import Json, JsonObject, encode_json
from flowstate_server.schemas.pydantic.core_schemas import (
    ModelParts,
    aliased_field,
    has_code,
    has_type,
    model_parts,
    sees_siblings,
    without_default,
)
from flowstate_server.schemas.pydantic.normal_form import normal_form
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.state.missing import MISSING, Missing

M = TypeVar("M", bound=BaseModel)

_PLAIN = {"str": str, "int": int, "bool": bool}


class ModelRules(Generic[M]):
    """The rules of a model that declares state.

    State keys are field names, so a model with aliases, on whatever level, is no declaration of state; nor is one that
    takes extra fields, or a root model. Computed fields and private attributes are not state.

    ``names`` are its fields in order. ``whole`` tells that it has model validators. ``siblings`` tells that a field
    validator looks at other fields. ``coded`` are the fields that Python code validates.
    """

    def __init__(self, model: type[M]) -> None:
        if issubclass(model, RootModel):
            raise FlowDefinitionError(
                f"{model.__qualname__} is a root model: state is declared by models with fields"
            )
        parts = model_parts(model)
        _require_declarable(model, parts)
        decorators = model.__pydantic_decorators__
        self.model = model
        self.parts = parts
        self.names = tuple(parts.fields)
        self.name_set = frozenset(parts.fields)
        self.whole = bool(decorators.model_validators or decorators.root_validators)
        self.siblings = any(sees_siblings(schema) for schema in parts.fields.values())
        self.coded = frozenset(n for n, schema in parts.fields.items() if has_code(schema, parts.definitions))
        self._with_floats = frozenset(
            name for name, schema in parts.fields.items() if has_type(schema, "float", parts.definitions)
        )
        self._plain = {
            name: _PLAIN[bare["type"]]
            for name, schema in parts.fields.items()
            if (bare := without_default(schema)).keys() <= {"type", "metadata"} and bare["type"] in _PLAIN
        }
        if self._plain and any(key.startswith("str_") for key in parts.config):
            self._plain = {name: kind for name, kind in self._plain.items() if kind is not str}
        self._validate_some = _validator(parts, with_defaults=False).validate_json
        self._validate_all = _validator(parts, with_defaults=True).validate_json
        self._defaults = {
            name: self._default_json(name, info.get_default())
            for name, info in model.model_fields.items()
            if not info.is_required() and info.default_factory is None
        }

    def typed(self, members: JsonObject, others: JsonObject) -> Mapping[str, Any]:
        """The Python values of ``members``; ``others`` are this model's other fields, for validators that look at them.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
        """
        if self.siblings:
            return cast(
                Mapping[str, Any],
                self._validate_all(encode_json(self._in_order({**others, **members})), strict=True),
            )
        return cast(Mapping[str, Any], self._validate_some(encode_json(members), strict=True))

    def normal(self, members: JsonObject, typed: Mapping[str, Any]) -> JsonObject:
        """Those of ``members`` whose normal form is another one, in it. One that its own validators then refuse stays
        as it is."""
        changed: JsonObject = {}
        for name in self._with_floats.intersection(members):
            normal = normal_form(members[name], typed.get(name))
            if normal is not members[name]:
                changed[name] = normal
        if changed and self.coded:
            try:
                self.typed({**members, **changed}, {})
            except ValidationError:
                return {}
        return changed

    def validate_whole(self, members: JsonObject) -> M:
        """Validate the model, whose own defaults fill what is absent.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
        """
        text = encode_json(self._in_order(members))
        return cast(M, self.model.__pydantic_validator__.validate_json(text, strict=True))

    def read(self, name: str, state: JsonObject) -> Any:
        """The Python value of a field that ``state`` has.

        Raises:
            ValidationError: pydantic's own; its text may hold values.
        """
        value = state[name]
        if type(value) is self._plain.get(name):
            return value
        others = {n: state[n] for n in self.names if n in state} if self.siblings else {}
        return self.typed({name: value}, others)[name]

    def _in_order(self, members: JsonObject) -> JsonObject:
        return {name: members[name] for name in self.names if name in members}

    def has_default(self, name: str) -> bool:
        return name in self.model.model_fields and not self.model.model_fields[name].is_required()

    def is_static(self, name: str) -> bool:
        """Whether the default is the same each time."""
        return name in self._defaults

    def default(self, name: str) -> Json | Missing:
        """This model's default of a field, as JSON; a ``default_factory`` is called."""
        if name in self._defaults:
            return self._defaults[name]
        info = self.model.model_fields.get(name)
        if info is None or info.is_required():
            return MISSING
        return self._default_json(name, info.get_default(call_default_factory=True))

    def default_value(self, name: str) -> Any:
        """This model's default of a field, as pydantic would put it into an instance."""
        info: FieldInfo = self.model.model_fields[name]
        if info.validate_default or (
            info.validate_default is None and self.parts.config.get("validate_default")
        ):
            return self.typed({name: cast(Json, self.default(name))}, {})[name]
        return info.get_default(call_default_factory=True)

    def _default_json(self, name: str, value: object) -> Json:
        try:
            default = to_json(_dumped(self.model, name, value), f"/{name}")
        except FlowStateError as error:
            raise FlowDefinitionError(f"{self.model.__qualname__}: a default is not JSON: {error}") from None
        if name not in self._with_floats:
            return default
        try:
            return normal_form(default, self._validate_some(encode_json({name: default}), strict=True)[name])
        except (ValidationError, KeyError):
            return default


def _dumped(model: type[BaseModel], name: str, value: object) -> object:
    """``value`` as the model's own serializers write that field."""
    holder = model.__new__(model)
    object.__setattr__(holder, "__dict__", {name: value})
    object.__setattr__(holder, "__pydantic_fields_set__", {name})
    object.__setattr__(holder, "__pydantic_extra__", None)
    object.__setattr__(holder, "__pydantic_private__", None)
    try:
        dumped = model.__pydantic_serializer__.to_python(
            holder, mode="json", include={name}, by_alias=False, round_trip=True, warnings=False
        )
    except ValueError:
        return value
    return dumped.get(name, value) if isinstance(dumped, dict) else value


def _require_declarable(model: type[BaseModel], parts: ModelParts) -> None:
    title = model.__qualname__
    if model.model_config.get("extra") == "allow":
        raise FlowDefinitionError(f'{title} has extra="allow": the fields of a state must be declared')
    for name, info in model.model_fields.items():
        if info.alias or info.validation_alias or info.serialization_alias:
            raise FlowDefinitionError(f"{title}.{name} has an alias: the keys of a state are field names")
        if info.exclude or info.exclude_if:
            raise FlowDefinitionError(f"{title}.{name} is excluded from its JSON form: it can't be state")
        nested = aliased_field(parts.fields[name], parts.definitions)
        if nested is not None:
            raise FlowDefinitionError(
                f'{title}.{name}: a field "{nested}" in it has an alias: the keys of a state are field names'
            )
        if info.default_factory_takes_validated_data:
            raise FlowDefinitionError(
                f"{title}.{name}: the default_factory of a state field can't take the other fields"
            )


def _validator(parts: ModelParts, *, with_defaults: bool) -> SchemaValidator:
    """A validator of any part of the model's fields; the model itself needs all of them."""
    fields = {
        name: core_schema.typed_dict_field(
            cast(Any, schema if with_defaults else without_default(schema)), required=False
        )
        for name, schema in parts.fields.items()
    }
    schema: core_schema.CoreSchema = core_schema.typed_dict_schema(
        fields, extra_behavior="ignore", config=cast(Any, parts.config)
    )
    if parts.definitions:
        schema = core_schema.definitions_schema(schema, cast(Any, list(parts.definitions.values())))
    return SchemaValidator(schema)
