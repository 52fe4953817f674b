"""From Python values to JSON by the type of the place that they are put in: a field, an element, a record of a map."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import BaseModel
from pydantic_core import core_schema, to_jsonable_python

from flowstate_server.errors import JsonInvalidError, Violation
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.schemas.pydantic.core_schemas import (
    CoreSchema,
    ModelParts,
    container_of,
    has_code,
    takes_anything,
)
from flowstate_server.schemas.pydantic.definitions import serializer_of
from flowstate_server.schemas.pydantic.faithful import is_faithful
from flowstate_server.schemas.pydantic.json_mode import is_json, validator_of
from flowstate_server.schemas.pydantic.model_rules import NO_FIXPOINT, NOT_A_FIXPOINT, ModelRules, Unsettled
from flowstate_server.schemas.pydantic.python_values import OWN_JSON, to_json
from flowstate_server.schemas.pydantic.read_only import thawed
from flowstate_server.schemas.pydantic.stored_form import members_of, same_value, stored_form
from flowstate_server.schemas.shape import LISTS, MAPS
from flowstate_server.state.json_pointer import format_pointer
from flowstate_server.state.plain_json import Refused, plain_json

_Way = Callable[[Any], Any]
"""Raises one of ``_NOT_ITS_VALUE``."""
_NOT_ITS_VALUE = (ValueError, AttributeError)
"""Of the first pydantic's own kinds are some, and that of bytes that are no UTF-8 another one. The second is of its
looking for the members of a dataclass in another one."""


class Place:
    """Where values are put.

    ``path`` is that of the field. ``dump``, ``read`` and ``adopt`` are pydantic's ways to JSON, from it, and from
    similar values, by the type of the place. What is not of that type is taken as JSON would be, and left to the
    validation of the write.
    """

    def __init__(
        self,
        dump: _Way,
        read: _Way,
        adopt: _Way,
        *,
        path: str,
        faithful: bool,
        untyped: bool,
    ) -> None:
        self.path = path
        self._dump = dump
        self._read = read
        self._adopt = adopt
        self._faithful = faithful
        self._untyped = untyped

    def json(self, value: object, path: str) -> Json:
        """``value`` as JSON.

        Raises:
            JsonInvalidError, JsonLimitError, JsonNumberError: it has none.
            Unsettled: what is written of it is not read as that value.
        """
        if not self._faithful:
            return self._proven(_copied(value, path), path)
        if not isinstance(value, BaseModel):
            with contextlib.suppress(JsonInvalidError):
                return plain_json(value, path)
        if self._untyped:
            return self._anything(value, path)
        try:
            dumped = self._dump(value)
        except _NOT_ITS_VALUE:
            return self._as_json(value, path)
        return _finished(value, dumped, path)

    def _as_json(self, value: object, path: str) -> Json:
        """What is not of the place's type, but may be JSON of it, or equal to one that is (a set for a frozenset, a
        list that was read for a list)."""
        try:
            return to_json(value, path)
        except JsonInvalidError as refusal:
            for ordinary in (lambda given: _copied(given, path), self._adopt):
                try:
                    other = ordinary(value)
                    if same_value(value, other):
                        return _finished(other, self._dump(other), path)
                except (*_NOT_ITS_VALUE, JsonInvalidError):
                    pass
            try:
                return to_json(_with_text_keys(value), path)
            except (*_NOT_ITS_VALUE, JsonInvalidError):
                raise refusal from None

    def _anything(self, value: object, path: str) -> Json:
        """Where there is a place without a type pydantic makes JSON of everything, and not always of all of it."""
        try:
            return to_json(value, path)
        except JsonInvalidError as refusal:
            read_back = self._read_back(value, path)
            if read_back is None:
                raise refusal from None
            return read_back

    def _proven(self, value: object, path: str) -> Json:
        """Where an author's function writes JSON, that is taken if it reads as ``value``."""
        read_back = self._read_back(value, path)
        if read_back is not None:
            return read_back
        if is_json(value):
            return plain_json(value, path)
        try:
            other = self._adopt(value)
            adopted = self._read_back(other, path) if _stands_for(value, other) else None
        except _NOT_ITS_VALUE:
            adopted = None
        if adopted is None:
            raise Unsettled([Violation(path, NOT_A_FIXPOINT, NO_FIXPOINT)])
        return adopted

    def _read_back(self, value: object, path: str) -> Json:
        """What is dumped of ``value`` if it is read as that, else ``None``; null is no value that needs proof."""
        try:
            dumped = self._dump(value)
            if not same_value(value, self._read(dumped)):
                return None
        except _NOT_ITS_VALUE:
            return None
        return _finished(value, dumped, path)


def _copied(value: object, path: str) -> object:
    """An ordinary copy of ``value``.

    Raises:
        JsonInvalidError: something in it, an iterator for one, can't be copied.
    """
    try:
        return thawed(value)
    except TypeError:
        to_json(value, path)  # says what and where
        raise


def _stands_for(given: object, made: object) -> bool:
    """Whether two values are equal, where dicts may stand for models."""
    if isinstance(given, Mapping) and isinstance(made, BaseModel):
        members = members_of(made)
        return all(_stands_for(item, members[name]) for name, item in given.items() if name in members)
    if type(given) is type(made) is list:
        return len(given) == len(made) and all(map(_stands_for, given, made))
    if type(given) is type(made) is dict:
        return given.keys() == made.keys() and all(
            _stands_for(item, made[key]) for key, item in given.items()
        )
    return same_value(given, made)


def _with_text_keys(value: object) -> object:
    """``value`` with texts for keys and lists for deques, in which a model may be given as a dict."""
    if isinstance(value, Mapping) and not hasattr(type(value), OWN_JSON):
        if any(isinstance(key, tuple | frozenset) for key in value):
            return value
        keys = to_jsonable_python(dict.fromkeys(value))
        return {key: _with_text_keys(item) for key, item in zip(keys, value.values(), strict=True)}
    if isinstance(value, list | tuple | deque):
        return [_with_text_keys(item) for item in value]
    return value


def _finished(value: object, dumped: Any, path: str) -> Json:
    try:
        return plain_json(stored_form(value, dumped), path)
    except Refused as refused:
        refused.steps.reverse()
        raise refused.kind(path + format_pointer(refused.steps), refused.problem) from None


def field_place(rules: ModelRules[Any], name: str) -> Place:
    """The field itself."""
    schema, definitions = rules.parts.fields[name], rules.parts.definitions
    return Place(
        lambda value: rules.dump({name: value}, strictly=True)[name],
        lambda dumped: rules.typed({name: dumped}, {})[name],
        lambda value: rules.adopted(name, value),
        path=format_pointer((name,)),
        faithful=name not in rules.unfaithful or rules.siblings,
        untyped=takes_anything(schema, definitions),
    )


def element_place(rules: ModelRules[Any], name: str) -> Place | None:
    """An element of a field that is a list or a set."""
    definitions = rules.parts.definitions
    container = container_of(rules.parts.fields[name], definitions)
    items = container.get("items_schema") if container["type"] in LISTS else None
    if isinstance(items, list):
        at = container.get("variadic_item_index")
        items = None if at is None else items[at]
    if items is None:
        return None
    schema = core_schema.list_schema(cast(Any, items))
    dump, read, adopt = _ways(schema, rules.parts)
    return Place(
        lambda value: dump([value])[0],
        lambda dumped: read([dumped])[0],
        lambda value: adopt([value])[0],
        path=format_pointer((name,)),
        faithful=is_faithful(items, rules.parts),
        untyped=takes_anything(items, definitions),
    )


def record_place(rules: ModelRules[Any], name: str) -> Place | None:
    """A map of one record, for a field that is a map: its keys have a type, too."""
    container = container_of(rules.parts.fields[name], rules.parts.definitions)
    return _map_place(rules, name, container, container.get("values_schema"))


def key_place(rules: ModelRules[Any], name: str) -> Place | None:
    """A map of one key to null, for a field that is a map."""
    return _map_place(rules, name, container_of(rules.parts.fields[name], rules.parts.definitions), None)


def key_settler(rules: ModelRules[Any], name: str, *, by_code: bool) -> Callable[[str], str] | None:
    """What makes of the text of a key the one under which a field that is a map keeps it; ``None`` if its keys are any
    text, and if that code of authors takes part in it is not ``by_code``."""
    definitions = rules.parts.definitions
    container = container_of(rules.parts.fields[name], definitions)
    keys = container.get("keys_schema") if container["type"] in MAPS else None
    if keys is None or has_code(keys, definitions) is not by_code:
        return None
    dump, read, _ = _ways(core_schema.dict_schema(keys, core_schema.any_schema()), rules.parts)

    def settled(key: str) -> str:
        try:
            (kept,) = dump(read({key: None}))
        except _NOT_ITS_VALUE:  # no key that there could be
            return key
        return str(kept)

    return settled


def _map_place(
    rules: ModelRules[Any], name: str, container: CoreSchema, values: CoreSchema | None
) -> Place | None:
    if container["type"] not in MAPS:
        return None
    whole = core_schema.dict_schema(
        container.get("keys_schema"), cast(Any, values) or core_schema.any_schema()
    )
    schema = cast(CoreSchema, whole)
    return Place(
        *_ways(whole, rules.parts),
        path=format_pointer((name,)),
        faithful=is_faithful(schema, rules.parts),
        untyped=takes_anything(schema, rules.parts.definitions),
    )


def _ways(schema: core_schema.CoreSchema, parts: ModelParts) -> tuple[_Way, _Way, _Way]:
    # By the configuration of the model, which says how bytes are written: validators have it of an object alone.
    config = cast(Any, parts.config)
    schema = core_schema.typed_dict_schema({"value": core_schema.typed_dict_field(schema)}, config=config)
    whole = cast(CoreSchema, schema), parts.definitions, config
    serializer, validator = serializer_of(*whole), validator_of(*whole)
    return (
        lambda value: serializer.to_python(
            {"value": value}, mode="json", by_alias=False, round_trip=True, warnings="error"
        )["value"],
        lambda dumped: validator.validate_json(encode_json({"value": dumped}), strict=True)["value"],
        lambda value: validator.validate_python({"value": value})["value"],
    )
