"""Between Python values and JSON text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import orjson
from pydantic import TypeAdapter, ValidationError

from flowstate_client.computed_fields import without_computed
from flowstate_client.errors import ResponseValidationError
from flowstate_client.json_profile import from_json_text, to_json_value
from flowstate_client.strict_models import read_strictly


class Codec(Protocol):
    """How values become JSON text and back; give your own to ``FlowStateClient.connect(codec=...)``."""

    def encode(self, value: Any) -> bytes:
        """JSON text of ``value``. What a handle's model says how to write comes as plain JSON values.

        Raises:
            ValueError: it cannot be sent; names the place.
        """
        ...

    def decode(self, text: bytes, expected: Any) -> Any:
        """The value of ``text`` as ``expected``; ``Any`` asks for plain Python values.

        Raises:
            ResponseValidationError: it does not fit.
        """
        ...


class JsonCodec:
    """The codec in use unless another is given: pydantic models, dataclasses, TypedDicts and plain values."""

    def encode(self, value: Any) -> bytes:
        """Checked against the profile of the wire before anything is sent, see :mod:`flowstate_client.json_profile`."""
        return orjson.dumps(to_json_value(value))

    def decode(self, text: bytes, expected: Any) -> Any:
        """``Any`` and ``object`` give plain values, every other type goes through pydantic.

        What a model computes is left out where it forbids what it has no field for.
        """
        if expected is Any or expected is object:
            try:
                return from_json_text(text)
            except ValueError as error:
                raise ResponseValidationError(text, expected, str(error)) from error
        adapter = type_adapter(expected)
        try:
            return _read(adapter, text)
        except ValidationError as error:
            raise ResponseValidationError(text, expected, _first_problem(error)) from error


def _read(adapter: TypeAdapter[Any], text: bytes) -> Any:
    try:
        return adapter.validate_json(text)
    except ValidationError as refusal:
        shorter = without_computed(text, adapter, refusal)
        if shorter is None:
            return read_strictly(text, adapter, refusal)
    return adapter.validate_json(shorter)


def type_adapter(expected: Any) -> TypeAdapter[Any]:
    """The adapter of a type, made once."""
    try:
        return _cached_adapter(expected)
    except TypeError:  # a type that cannot be hashed, such as Annotated with a list in it
        return TypeAdapter(expected)


@lru_cache(maxsize=512)
def _cached_adapter(expected: Any) -> TypeAdapter[Any]:
    return TypeAdapter(expected)


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = "/".join(str(step) for step in first["loc"])
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place or 'value'}: {first['msg']}{more}"
