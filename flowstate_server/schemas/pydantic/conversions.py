"""Python values as the JSON of a state's fields, for the constructors of operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from pydantic import BaseModel

from flowstate_server.errors import StateValidationError, Violation
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.schemas.pydantic.model_rules import ModelRules, Unsettled
from flowstate_server.schemas.pydantic.places import (
    Place,
    element_place,
    field_place,
    key_place,
    key_settler,
    record_place,
)
from flowstate_server.schemas.pydantic.python_values import OWN_JSON, to_json
from flowstate_server.schemas.pydantic.stored_form import members_of
from flowstate_server.state.code_raised import raise_named
from flowstate_server.state.code_time import timed
from flowstate_server.state.json_limits import MAX_KEY_BYTES
from flowstate_server.state.json_pointer import format_pointer, parse_pointer
from flowstate_server.state.plain_json import plain_json


class Conversions:
    """Each field's by the rules of the model that it is read by. There are those of fields, of an element of a list or
    set, of a map of one record, and of a map of one key to null; ``path`` of the last three is that of the field."""

    def __init__(self, scope: str, read_by: Mapping[str, ModelRules[Any]]) -> None:
        self.scope = scope
        self._read_by = read_by
        self._by_code = {
            format_pointer((name,)): name for name, rules in read_by.items() if name in rules.unfaithful
        }
        self._places: dict[tuple[str, object], Place | None] = {}
        self._settlers: dict[tuple[str, bool], Callable[[str], str] | None] = {}

    @property
    def dumped_by_code(self) -> bool:
        """Whether code of authors makes JSON of a field."""
        return bool(self._by_code)

    def fields_json(self, value: object, path: str) -> Json:
        """A model or a mapping of fields as JSON, each by its type.

        Raises:
            JsonInvalidError, JsonLimitError, JsonNumberError: a value has no JSON form.
            StateValidationError: what would be stored of a value does not read as that value.
        """
        if isinstance(value, BaseModel) and not hasattr(type(value), OWN_JSON):
            value = members_of(value)
        if not isinstance(value, Mapping):
            return to_json(value, path)
        fields: JsonObject = {}
        for name, item in value.items():
            if type(name) is not str or not (name.isascii() and len(name) <= MAX_KEY_BYTES):
                (name,) = cast(JsonObject, plain_json({name: None}, path))
            place = self._place(name, field_place)
            at = path + (format_pointer((name,)) if place is None else place.path)
            fields[name] = self._json_at(place, item, at)
        return fields

    def element_json(self, value: object, path: str) -> Json:
        return self._json_at(self._place(parse_pointer(path)[0], element_place), value, path)

    def record_json(self, value: object, path: str) -> Json:
        return self._json_at(self._place(parse_pointer(path)[0], record_place), value, path)

    def key_json(self, value: object, path: str) -> Json:
        name = parse_pointer(path)[0]
        json = self._json_at(self._place(name, key_place), value, path)
        settle = self._settler(name, by_code=True)
        if settle is None or not isinstance(json, dict):
            return json
        items = json.items()
        return self._in_time(name, lambda: {settle(key): item for key, item in items})

    def record_key(self, name: str, key: str) -> str:
        """The key under which a field that is a map keeps what is put under ``key``, where no code of authors has a say
        in that: then :meth:`key_json` has made it already."""
        settle = self._settler(name, by_code=False)
        return key if settle is None else settle(key)

    def _settler(self, name: str, *, by_code: bool) -> Callable[[str], str] | None:
        if (name, by_code) not in self._settlers:
            rules = self._read_by.get(name)
            if rules is None:
                return None
            self._settlers[name, by_code] = key_settler(rules, name, by_code=by_code)
        return self._settlers[name, by_code]

    def _json_at(self, place: Place | None, value: object, path: str) -> Json:
        if place is None:
            return to_json(value, path)
        if place.path not in self._by_code:
            return self._placed(place, value, path)
        return self._in_time(self._by_code[place.path], lambda: self._placed(place, value, path))

    def _in_time(self, name: str, make: Callable[[], Json]) -> Json:
        """What code of authors makes for a field, asked once more where it takes too long: the process may have been
        stopped, or kept off the machine."""
        problems: list[Violation] = []
        for _ in range(2):
            problems.clear()
            with timed((name,), problems), self._named(name):
                json = make()
            if not problems:
                return json
        raise StateValidationError(self.scope, tuple(problems))

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            raise_named(error, self.scope, (name,))

    def _placed(self, place: Place, value: object, path: str) -> Json:
        try:
            return place.json(value, path)
        except Unsettled as unsettled:
            raise StateValidationError(self.scope, unsettled.violations) from None

    def _place(self, name: str, make: Callable[[ModelRules[Any], str], Place | None]) -> Place | None:
        key = (name, make)
        if key not in self._places:
            rules = self._read_by.get(name)
            if rules is None:
                return None  # and not kept: there is no end of names
            self._places[key] = make(rules, name)
        return self._places[key]
