"""A type as an author annotated it, and what is checked and made by it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json

from flowstate_server.errors import (
    FlowDefinitionError,
    JsonInvalidError,
    ValidationFailedError,
)
from flowstate_server.flows.rescued import Rescued
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.schemas.pydantic.core_schemas import (
    CoreSchema,
    classes_in,
    has_code,
    has_factory,
    is_plain_model,
)
from flowstate_server.schemas.pydantic.discovery import CanonicalJsonSchema
from flowstate_server.schemas.pydantic.json_mode import validator_of
from flowstate_server.schemas.pydantic.pydantic_1 import ADVICE, model_of_pydantic_1
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.schemas.pydantic.stored_form import stored_form
from flowstate_server.schemas.pydantic.violations import violations_of
from flowstate_server.state.json_pointer import format_pointer
from flowstate_server.state.plain_json import Refused

_SCALARS = (type(None), bool, int, float, str, bytes)
_WIDENED = ((bool, int), (bool, float), (int, float), (str, bytes))
"""Given and taken: scalars that pydantic always makes the other of."""


class ValueType:
    """``what`` names it in errors: ``the input of handler "reply"``."""

    def __init__(self, annotation: Any, what: str) -> None:
        self.annotation = annotation
        self.what = what
        self._adapter = _adapter(annotation, what)
        self._class = annotation if _checks_instances(annotation) else None
        self._schemas: dict[str, JsonObject] = {}
        schema = cast(CoreSchema, self._adapter.core_schema)
        self._validator = validator_of(schema)
        self._has_code = has_code(schema, {})
        self._classes = classes_in(schema, {})
        self.calls_code = self._has_code or has_factory(schema, {})

    def validate(self, value: object, path: str) -> Any:
        """``value`` if it is an instance of the type, else what pydantic makes of it.

        Raises:
            ValidationFailedError: paths below ``path`` and rules, never the value.
        """
        if self._class is not None and isinstance(value, self._class):
            return value
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise self._refusal(error, value, path) from None

    def validate_json(self, text: bytes, path: str) -> Any:
        """The value of JSON text, which must obey the profile, validated strictly.

        Raises:
            ValidationFailedError: paths below ``path`` and rules, never the value.
        """
        try:
            return self._validator.validate_json(text, strict=True)
        except ValidationError as error:
            raise self._refusal(error, _parsed(text), path) from None

    def dump(self, value: object, path: str) -> Json:
        """The JSON form of ``value``, by alias as the schema has it.

        Raises:
            JsonInvalidError, JsonNumberError, JsonLimitError: it has none.
        """
        try:
            plain = self._adapter.dump_python(value, mode="json", by_alias=True, warnings="error")
        except (PydanticSerializationError, ValueError):
            raise JsonInvalidError(path, f"{self.what} has no JSON form") from None
        try:
            return to_json(stored_form(value, plain, str), path)
        except Refused as refused:
            refused.steps.reverse()
            raise refused.kind(path + format_pointer(refused.steps), refused.problem) from None

    def json_schema(self, mode: Literal["validation", "serialization"]) -> JsonObject:
        """The JSON Schema (draft 2020-12) of its JSON form. Don't modify it.

        Raises:
            FlowDefinitionError: it has none.
        """
        try:
            if mode not in self._schemas:
                self._schemas[mode] = self._adapter.json_schema(
                    mode=mode, schema_generator=CanonicalJsonSchema
                )
            return self._schemas[mode]
        except PydanticUserError:
            old = model_of_pydantic_1(self.annotation)
            problem = (
                f"has no JSON Schema: {_name(self.annotation)}{_advice(self.annotation)}"
                if old is None
                else f"takes {old}, which {ADVICE}"
            )
            raise FlowDefinitionError(f"{self.what} {problem}") from None

    def _refusal(self, error: ValidationError, value: object, path: str) -> ValidationFailedError:
        coded: set[Any] = set()
        if self._has_code:  # what says a violation may then be an author's text
            coded.update(
                line["loc"][0] for line in error.errors(include_url=False, include_input=False) if line["loc"]
            )
        found = violations_of(error, cast(Any, value), coded, self._classes, whole=self._has_code)
        return ValidationFailedError(tuple(replace(one, path=path + one.path) for one in found))


def check_fits(given: Any, taken: Any, where: str, giver: str) -> None:
    """Refuse what goes wrong at run time: a model, nothing or a scalar where another of them is taken, and anything but
    a failure where one is.

    Anything else, a union or ``Any`` for one, is left to validation.

    Raises:
        FlowDefinitionError: naming ``where`` and ``giver``, and both types.
    """
    given, taken = _of_none(given), _of_none(taken)
    if _is_rescued(taken) and not _may_be_rescued(given):
        problem = "takes Rescued, which .rescue(...) alone gives, but is given"
        raise FlowDefinitionError(f"{where} {problem} {_name(given)} by {giver}")
    if given is taken or not (_is_model(given) or given in _SCALARS):
        return
    if _is_model(taken):
        may_parse = given in _SCALARS and not is_none(given) and not _takes_only_fields(taken)
        fits = issubclass(given, taken) or may_parse
    elif taken in _SCALARS:
        fits = (given, taken) in _WIDENED
    else:
        return
    if not fits:
        raise FlowDefinitionError(f"{where} takes {_name(taken)}, but is given {_name(given)} by {giver}")


def is_none(annotation: Any) -> bool:
    return annotation is None or annotation is type(None)


def _of_none(annotation: Any) -> Any:
    return type(None) if annotation is None else annotation


def _name(annotation: Any) -> str:
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _advice(annotation: Any) -> str:
    return "; make it a pydantic BaseModel" if inspect.isclass(annotation) else ""


def _is_rescued(annotation: Any) -> bool:
    return (get_origin(annotation) or annotation) is Rescued


def _may_be_rescued(given: Any) -> bool:
    """Whether a value of that type may be a failure, for all that it says."""
    origin = get_origin(given) or given
    if origin in (Union, UnionType):
        return any(_may_be_rescued(one) for one in get_args(given))
    if origin is Annotated:
        return _may_be_rescued(get_args(given)[0])
    try:
        return given is Any or not inspect.isclass(origin) or issubclass(Rescued, origin)
    except TypeError:  # a protocol, for one
        return True


def _is_model(annotation: Any) -> bool:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def _takes_only_fields(model: type[BaseModel]) -> bool:
    """Whether the model is made of fields alone: it is no ``RootModel``, and no validator of its own comes first."""
    try:
        return is_plain_model(cast(CoreSchema, model.__pydantic_core_schema__))
    except PydanticUserError:  # not fully defined
        return False


def _adapter(annotation: Any, what: str) -> TypeAdapter[Any]:
    try:
        try:
            adapter = TypeAdapter(annotation)
        except PydanticSchemaGenerationError:
            adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
        if not adapter.pydantic_complete:
            adapter.rebuild(raise_errors=True)
    except (PydanticUserError, NameError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise FlowDefinitionError(
            f"{what} has a type that pydantic can't check, {annotation!r}: {reason}"
        ) from None
    return adapter


def _checks_instances(annotation: Any) -> bool:
    if not inspect.isclass(annotation):
        return False
    try:
        isinstance(None, annotation)
    except TypeError:  # a TypedDict, a protocol, a parametrised generic
        return False
    return True


def _parsed(text: bytes) -> object:
    try:
        return from_json(text)
    except ValueError:
        return None
