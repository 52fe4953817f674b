"""What can't be declared as state, said when the flow is built: with the field and the way out."""

from __future__ import annotations

from enum import Enum
from typing import Any, cast

from pydantic import BaseModel, EncodedStr, RootModel
from pydantic_core import SchemaValidator, to_json

from flowstate_server.errors import FlowDefinitionError
from flowstate_server.schemas.pydantic.core_schemas import (
    CoreSchema,
    Definitions,
    ModelParts,
    aliased_field,
    fields_of,
    walk,
)
from flowstate_server.schemas.pydantic.keys import lost_key
from flowstate_server.schemas.pydantic.pydantic_1 import ADVICE, model_of_pydantic_1
from flowstate_server.schemas.pydantic.stored_form import SECRETS
from flowstate_server.schemas.pydantic.unions import is_no_key, like_choices, like_keys

_NOT_DATA = {
    "generator": "an iterator, which can be read only once: declare a list",
    "callable": "a function, which has no JSON form: declare its name",
    "is-subclass": "a class, which has no JSON form: declare its name",
}


def require_no_root_model(model: type[BaseModel]) -> None:
    if issubclass(model, RootModel):
        raise FlowDefinitionError(
            f"{model.__qualname__} is a root model: state is declared by models with fields"
        )


def require_declarable(model: type[BaseModel], parts: ModelParts) -> None:
    """Refuse what would not be read as it was written.

    Raises:
        FlowDefinitionError: naming the model and its field.
    """
    title = model.__qualname__
    if model.model_config.get("extra") == "allow":
        raise FlowDefinitionError(f'{title} has extra="allow": the fields of a state must be declared')
    for name, info in model.model_fields.items():
        if (old := model_of_pydantic_1(info.annotation)) is not None:
            raise FlowDefinitionError(f"{title}.{name}: {old} {ADVICE}")
        if info.alias or info.validation_alias or info.serialization_alias:
            raise FlowDefinitionError(f"{title}.{name} has an alias: the keys of a state are field names")
        if info.exclude or info.exclude_if:
            raise FlowDefinitionError(f"{title}.{name} is excluded from its JSON form: it can't be state")
        if info.default_factory_takes_validated_data:
            raise FlowDefinitionError(
                f"{title}.{name}: the default_factory of a state field can't take the other fields: "
                "write it in the block, or show it as a computed field"
            )
        nested = aliased_field(parts.fields[name], parts.definitions)
        if nested is not None:
            raise FlowDefinitionError(
                f'{title}.{name}: a field "{nested}" in it has an alias: the keys of a state are field names'
            )
        problem = _unstorable(parts.fields[name], parts.definitions)
        if problem is not None:
            raise FlowDefinitionError(f"{title}.{name} {problem}")
        key = is_no_key(parts.fields[name], parts.definitions)
        if key is not None:
            raise FlowDefinitionError(
                f"{title}.{name} has keys of type {key}, which JSON has no text for: declare a list of pairs"
            )
        alike = like_keys(parts.fields[name], parts.definitions)
        if alike is not None:
            raise FlowDefinitionError(
                f"{title}.{name} has keys of {alike[0]} and {alike[1]}, which read alike from JSON, where every key "
                "is a text: declare one of them, or a list of pairs"
            )
        alike = like_choices(parts.fields[name], parts.definitions)
        if alike is not None:
            raise FlowDefinitionError(
                f"{title}.{name} holds a union of {alike[0]} and {alike[1]}, which read alike from JSON: "
                "declare one of them, or models that differ in a Literal field"
            )
        lost = lost_key(parts.fields[name], parts.definitions)
        if lost is not None:
            raise FlowDefinitionError(f"{title}.{name} {lost}")


def _unstorable(schema: CoreSchema, definitions: Definitions) -> str | None:
    if secrets := {secret for part in walk(schema, definitions) if (secret := _secret_in(part)) is not None}:
        return (
            f"holds a {max(secrets, key=len)}, whose JSON form is asterisks: it can't be state. "
            "Declare what it wraps, and don't expose it; or keep the secret elsewhere and a reference here"
        )
    for part in walk(schema, definitions):
        if _is_encoded_text(part):
            return (
                "holds an encoded text, such as Base64Str, which can't be told from the text that it stands for: "
                "declare encoded bytes, such as Base64Bytes"
            )
        if part["type"] in _NOT_DATA:
            return f"holds {_NOT_DATA[part['type']]}"
        if part["type"] in ("enum", "literal") and (member := _unreadable_member(part)) is not None:
            return f"holds {member}, which can't be read from JSON: members must be texts or numbers"
        for inside, field in fields_of(part):
            if field.get("serialization_exclude") or field.get("serialization_exclude_if"):
                return f'has a field "{inside}" in it that is excluded from its JSON form: it would be lost'
            if field.get("init_only"):
                return f'has an InitVar "{inside}" in it, which is not kept: it would be lost'
            if field["type"] == "dataclass-field" and not field.get("init", True):
                return f'has a field "{inside}" with init=False in it, which can\'t be read back'
    return None


def _unreadable_member(part: CoreSchema) -> str | None:
    """The name of a member of an enum or a literal that is not read as it is written."""
    validator = SchemaValidator(cast(Any, part))
    for member in part.get("members") or part["expected"]:
        try:
            read = validator.validate_json(to_json(member), strict=True)
        except ValueError:
            read = None
        if type(read) is not type(member) or read != member:
            return str(member) if isinstance(member, Enum) else f"a literal of type {type(member).__name__}"
    return None


def _is_encoded_text(part: CoreSchema) -> bool:
    validate = _function(part.get("function"))
    return isinstance(getattr(validate, "__self__", None), EncodedStr)


def _secret_in(part: CoreSchema) -> str | None:
    for made_by in (part.get("cls"), _function(part.get("function"))):
        if isinstance(made_by, type) and issubclass(made_by, SECRETS):
            return made_by.__name__
    dump = _function(part.get("serialization"))
    of_pydantic = getattr(dump, "__module__", "") == "pydantic.types"
    return "Secret" if of_pydantic and "secret" in getattr(dump, "__name__", "") else None


def _function(holder: Any) -> Any:
    return holder.get("function") if isinstance(holder, dict) else None
