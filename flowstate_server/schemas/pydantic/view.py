"""Views: a state as its typed, immutable model.

A view is an instance of the model that was asked for. It does no work until a field is read; then that field is
validated and kept, so what a read gives is the view's own and never the stored state; lists, dicts, sets and nested
models in it are read-only too (:mod:`flowstate_server.schemas.pydantic.read_only`). Absent fields show their default;
without one, reading raises ``StateFieldAbsentError`` and ``.get(name)`` gives ``None``. Field validators shape what is
read; model validators only check writes. ``model_dump`` and the like, and pydantic wherever it finds a view in another
value, see the fields that have a value or a default.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined, SchemaSerializer, core_schema

from flowstate_server.errors import StateFieldAbsentError, StateValidationError
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.nearest import did_you_mean
from flowstate_server.schemas.pydantic.absent_attribute import TellsAbsent, absent
from flowstate_server.schemas.pydantic.field_shape import kinds_of, shape_of
from flowstate_server.schemas.pydantic.model_rules import ModelRules
from flowstate_server.schemas.pydantic.read_again import read_again
from flowstate_server.schemas.pydantic.read_only import SCALARS, Advice, Attempt, Guard, thawed
from flowstate_server.schemas.pydantic.violations import violations_of
from flowstate_server.schemas.shape import LISTS, MAPS, NUMBERS
from flowstate_server.state.code_raised import raise_named
from flowstate_server.state.missing import MISSING, Missing

_ASSIGNMENTS = {
    Attempt.ASSIGN_NUMBER: NUMBERS,
    Attempt.ASSIGN_LIST: LISTS,
    Attempt.ASSIGN_MAP: MAPS,
}

M = TypeVar("M", bound=BaseModel)
Default = Callable[[str], Json | Missing]


class ViewMaker(Generic[M]):
    """Makes the views of one model. ``default`` gives the merged default of a field that the model has none for.

    ``advice`` says what to do instead of changing a view.
    """

    def __init__(self, rules: ModelRules[M], scope: str, default: Default, advice: Advice) -> None:
        self.rules = rules
        self.scope = scope
        self.advice = advice
        self._default = default
        self._guards = {name: Guard(name, self.advice) for name in rules.names}
        model = rules.model
        namespace = {
            "__module__": model.__module__,
            "__qualname__": model.__qualname__,
            "__slots__": ("_state",),
        }
        metaclass: Any = type(model)
        self._class: Any = metaclass(model.__name__, (_View, model), namespace)
        self._class._maker = self
        self._class._flowstate_model = model
        for name in ("get", "__getitem__", "__setitem__"):
            if hasattr(model, name):  # the author's own
                setattr(self._class, name, inspect.getattr_static(model, name))
        for name in rules.names:
            setattr(self._class, name, _LazyField(name))
        self._set_state = self._class.__dict__["_state"].__set__

    def make(self, state: JsonObject) -> M:
        view = self._class.__new__(self._class)
        self._set_state(view, state)
        return cast(M, view)

    def read(self, name: str, state: JsonObject) -> Any:
        """The value of a declared field, read-only.

        Raises:
            StateFieldAbsentError: it has no value and no default.
            StateValidationError: what is stored does not fit the model, or not any more.
        """
        value = self.read_anew(name, state)
        return value if type(value) in SCALARS else self._guards[name].protect(value)

    def read_anew(self, name: str, state: JsonObject) -> Any:
        """:meth:`read`, as an ordinary value that is the caller's own, unless it is a default."""
        rules = self.rules
        if name in state:
            return self._validated(name, state)
        if rules.has_default(name):
            return rules.default_value(name)
        default = self._default(name)
        if default is MISSING:
            raise StateFieldAbsentError(self.scope, name)
        return self._validated(name, {**state, name: default})

    def readable(self, state: JsonObject) -> Iterator[str]:
        """The fields that have a value or a default."""
        for name in self.rules.names:
            if name in state or self.rules.has_default(name) or self._default(name) is not MISSING:
                yield name

    def no_assignment(self, name: str) -> str:
        """Why a field can't be assigned to, and what to do instead."""
        rules = self.rules
        if name not in rules.name_set:
            problem = f"a view of state is read-only, and {rules.model.__name__} has no field {name!r}"
            return problem + did_you_mean(name, rules.names)
        kinds = kinds_of(shape_of(rules.parts.fields[name], rules.parts.definitions, rules.parts.config))
        fitting = (attempt for attempt, held in _ASSIGNMENTS.items() if kinds and kinds <= held)
        return self.advice(name, next(fitting, Attempt.CHANGE))

    def json(self, state: JsonObject) -> JsonObject:
        found = {name: self.field_json(name, state) for name in self.rules.names}
        return {name: value for name, value in found.items() if value is not MISSING}

    def field_json(self, name: str, state: JsonObject) -> Json | Missing:
        """The JSON form of what is read of the stored value, or the default.

        Raises:
            StateValidationError: what is stored does not fit the model, or not any more.
        """
        if name in state:
            value = state[name]
            if self.rules.is_plain(name, value):
                return value
            made = read_again(self.rules, state, (name,))
            if name not in made:
                self._validated(name, state)
            return made.get(name, value)
        default = self.rules.default(name)
        return self._default(name) if default is MISSING else default

    def _validated(self, name: str, state: JsonObject) -> Any:
        try:
            return self.rules.read(name, state)
        except ValidationError as error:
            violations = violations_of(error, state, self.rules.coded, self.rules.classes)
            raise StateValidationError(self.scope, violations, stored=True) from None
        except BaseException as error:
            raise_named(error, self.scope, (name,) if self.rules.coded else (), stored=True)


_own_dict: Callable[[Any], dict[str, Any]] = BaseModel.__dict__["__dict__"].__get__
"""What an instance of a model keeps, past the ``__dict__`` that a view shows."""


class _LazyField:
    """Reads a field on first access; from then on the instance's own attribute comes first."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, view: Any, owner: type) -> Any:
        if view is None:
            raise AttributeError(self._name)
        value = owner._maker.read(self._name, view._state)  # type: ignore[attr-defined]
        _own_dict(view)[self._name] = value
        return value


class _View(TellsAbsent):
    """What a view has ahead of its model."""

    __slots__ = ()
    _maker: Any
    _state: JsonObject

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The fields that can be read, in their order. Pydantic looks here for what it writes and revalidates."""
        values = {name: getattr(self, name) for name in self._maker.readable(self._state)}
        kept = _own_dict(self)
        if list(kept)[: len(values)] != list(values):
            values.update((name, value) for name, value in kept.items() if name not in values)
            kept.clear()
            kept.update(values)
        return kept

    @property
    def __pydantic_fields_set__(self) -> set[str]:
        return {name for name in self._maker.readable(self._state) if name in self._state}

    __pydantic_extra__ = None

    @property
    def __pydantic_private__(self) -> dict[str, Any] | None:
        """Private attributes are no state: methods of the model find them as they begin."""
        return _private_defaults(self._maker.rules.model)

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, or ``default`` if it is absent and has no default of its own."""
        if name not in self._maker.rules.name_set:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}")
        try:
            return getattr(self, name)
        except StateFieldAbsentError:
            return default

    def __setattr__(self, name: str, value: object) -> None:
        __tracebackhide__ = True
        raise AttributeError(self._maker.no_assignment(name))

    def __delattr__(self, name: str) -> None:
        __tracebackhide__ = True
        known = name in self._maker.rules.name_set
        text = self._maker.advice(name, Attempt.UNSET) if known else self._maker.no_assignment(name)
        raise AttributeError(text)

    def __getitem__(self, name: object) -> NoReturn:
        __tracebackhide__ = True
        raise TypeError("a view of state is no dict: read its fields as attributes")

    def __setitem__(self, name: object, value: object) -> NoReturn:
        __tracebackhide__ = True
        raise TypeError(self._maker.no_assignment(str(name)))

    def _as_model(self) -> Any:
        """An instance of the model proper, with the fields that can be read, as they are read."""
        return self._model_of({name: getattr(self, name) for name in self._maker.readable(self._state)})

    def _copied(self) -> Any:
        """An instance of the model proper that shares nothing with the view."""
        # what is stored is faster read again than copied
        return self._model_of({name: self._own(name) for name in self._maker.readable(self._state)})

    def _own(self, name: str) -> Any:
        state = self._state
        return self._maker.read_anew(name, state) if name in state else thawed(getattr(self, name))

    def _copied_to_write(self) -> Any:
        """:meth:`_copied`, without fields that don't fit the model any more: others can be changed all the same."""
        values: dict[str, Any] = {}
        for name in self._maker.readable(self._state):
            with contextlib.suppress(StateValidationError):
                values[name] = self._own(name)
        return self._model_of(values)

    def _model_of(self, values: dict[str, Any]) -> Any:
        model = self._maker.rules.model
        plain = model.__new__(model)
        object.__setattr__(plain, "__dict__", values)
        object.__setattr__(plain, "__pydantic_fields_set__", {name for name in values if name in self._state})
        object.__setattr__(plain, "__pydantic_extra__", None)
        object.__setattr__(plain, "__pydantic_private__", _private_defaults(model))
        return plain

    def __flowstate_json__(self) -> JsonObject:
        return cast(JsonObject, self._maker.json(self._state))

    @property
    def model_fields_set(self) -> set[str]:
        return set(self._as_model().model_fields_set)

    def model_dump(self, **options: Any) -> Any:
        return self._copied().model_dump(**options)

    def model_dump_json(self, **options: Any) -> Any:
        return self._copied().model_dump_json(**options)

    def model_copy(self, **options: Any) -> Any:
        return self._copied_to_write().model_copy(**options)

    def __copy__(self) -> Any:
        return self._copied_to_write()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
        return self._copied_to_write()

    def __reduce__(self) -> Any:
        return _same, (self._copied(),)

    def __iter__(self) -> Any:
        return iter(self._as_model())

    def __eq__(self, other: object) -> bool:
        return bool(self._as_model() == (other._as_model() if isinstance(other, _View) else other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._as_model())

    __str__ = __repr__


def _private_defaults(model: type[BaseModel]) -> dict[str, Any] | None:
    private = model.__private_attributes__
    if not private:
        return None
    values: dict[str, Any] = {}
    for name, attribute in private.items():
        if attribute.default_factory is None:
            values[name] = copy.deepcopy(attribute.default)
        elif not getattr(attribute, "default_factory_takes_validated_data", False):
            factory: Any = attribute.default_factory
            values[name] = factory()
    return {name: value for name, value in values.items() if value is not PydanticUndefined}


def _same(model: Any) -> Any:
    return model


class MergedView:
    """A view of all declared fields, whichever models declare them; ``makers`` has for each the one that reads it."""

    __slots__ = ("_makers", "_scope", "_state", "_values")
    __pydantic_serializer__ = SchemaSerializer(
        core_schema.any_schema(
            serialization=core_schema.plain_serializer_function_ser_schema(lambda view: view.model_dump())
        )
    )
    """By which pydantic writes a view wherever it finds one in an untyped value."""

    def __init__(self, scope: str, makers: Mapping[str, ViewMaker[Any]], state: JsonObject) -> None:
        for slot, value in (("_scope", scope), ("_makers", makers), ("_state", state), ("_values", {})):
            object.__setattr__(self, slot, value)

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name in self._values:
            return self._values[name]
        if name not in self._makers:
            raise absent(f"the {self._scope} state", name, self._makers)
        value = self._values[name] = self._makers[name].read(name, self._state)
        return value

    def __setattr__(self, name: str, value: object) -> NoReturn:
        __tracebackhide__ = True
        raise AttributeError(self._refusal(name))

    def _refusal(self, name: str) -> str:
        if name in self._makers:
            maker: ViewMaker[Any] = self._makers[name]
            return maker.no_assignment(name)
        problem = f"a view of state is read-only, and the {self._scope} state has no field {name!r}"
        return problem + did_you_mean(name, self._makers)

    def __getitem__(self, name: object) -> NoReturn:
        __tracebackhide__ = True
        raise TypeError(
            "a view of state is no dict: read its fields as attributes; in a test state_as(Model).model_dump() is one"
        )

    def __setitem__(self, name: object, value: object) -> NoReturn:
        __tracebackhide__ = True
        raise TypeError(self._refusal(str(name)))

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, or ``default`` if it is absent and has no default of its own."""
        try:
            return self.__getattr__(name)
        except StateFieldAbsentError:
            return default

    def model_dump(self) -> dict[str, Any]:
        """The JSON form of the fields that have a value or a default."""
        found = {name: maker.field_json(name, self._state) for name, maker in self._makers.items()}
        return {name: copy.deepcopy(value) for name, value in found.items() if value is not MISSING}

    __flowstate_json__ = model_dump

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` is a view, or a dict, of the same JSON."""
        if isinstance(other, MergedView):
            other = other.model_dump()
        return self.model_dump() == other if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._scope} state {self.model_dump()!r}>"
