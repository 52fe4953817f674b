"""What the flows that share a record declare of it together: by this a write is judged that names none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import cached_property

from flowstate_server.errors import StateTypeConflictError, StateValidationError, Violation
from flowstate_server.model.json_values import Json, JsonObject, same_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.reading import AS_STORED, Reading
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.schemas.shape import Shape
from flowstate_server.state.json_pointer import Pointer, format_pointer
from flowstate_server.state.missing import MISSING, Missing


class SharedSchema:
    """A :class:`ScopeSchema`. ``schemas`` are those of the flows, by kind.

    Where several flows declare a field, each has to accept what is written, and the first one tells how it reads. A
    default is that of the flows that have one; if they have different ones the field has none here: it does not show,
    and an operation that would begin with it is refused.
    """

    def __init__(self, scope: ScopeKind, schemas: Mapping[str, ScopeSchema]) -> None:
        self._scope = scope
        self._schemas = dict(schemas)
        self._declaring: dict[str, list[str]] = {}
        for kind, schema in self._schemas.items():
            for name in schema.fields:
                self._declaring.setdefault(name, []).append(kind)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        return tuple(self._declaring)

    @cached_property
    def drawn(self) -> tuple[str, ...]:
        return self._named(lambda schema: schema.drawn)

    @cached_property
    def partly_drawn(self) -> tuple[str, ...]:
        return self._named(lambda schema: schema.partly_drawn)

    def incomplete(self, state: JsonObject, /) -> tuple[str, ...]:
        return self._named(lambda schema: schema.incomplete(state))

    @cached_property
    def changeable(self) -> tuple[str, ...]:
        return self._named(lambda schema: schema.changeable)

    def declares(self, name: str, /) -> bool:
        return name in self._declaring

    def default_at(self, pointer: Pointer, /) -> Json | Missing:
        """
        Raises:
            StateTypeConflictError: the flows have different ones.
        """
        if pointer[0] in self._disputed:
            named = " and ".join(f'"{kind}"' for kind in self._declaring[pointer[0]])
            problem = (
                f"flows {named} declare different defaults for it: name a flow in the scope, or set it first"
            )
            raise StateTypeConflictError(format_pointer(pointer[:1]), problem)
        return next(iter(self._defaults(pointer)), MISSING)

    def declared_otherwise(self, pointer: Pointer, kind: str, /) -> str:
        return self._first(pointer[0]).declared_otherwise(pointer, kind) if self.declares(pointer[0]) else ""

    def with_defaults(self, state: JsonObject, /) -> JsonObject:
        shown = dict(state)
        for kind, schema in self._schemas.items():
            for name, value in schema.with_defaults(state).items():
                if self._declaring.get(name, [""])[0] == kind or (name not in shown and self.declares(name)):
                    shown[name] = value
        return {name: value for name, value in shown.items() if name in state or name not in self._disputed}

    def read_again(self, state: JsonObject, names: Iterable[str], /) -> Reading:
        by_kind: dict[str, list[str]] = {}
        for name in names:
            if name in self._declaring:
                by_kind.setdefault(self._declaring[name][0], []).append(name)
        values: JsonObject = {}
        unreadable: Set[str] = frozenset()
        for kind, some in by_kind.items():
            reading = self._schemas[kind].read_again(state, some)
            values |= reading.values
            unreadable |= reading.unreadable
        return Reading(values, frozenset(unreadable)) if values or unreadable else AS_STORED

    def record_key(self, name: str, key: str, /) -> str:
        return self._first(name).record_key(name, key) if self.declares(name) else key

    def by_record(self, name: str, /) -> bool:
        return all(self._schemas[kind].by_record(name) for kind in self._declaring.get(name, ()))

    def seen_by_code(self, touched: Set[str], /) -> Set[str]:
        return frozenset().union(*(schema.seen_by_code(own) for _, schema, own in self._judging(touched)))

    def check(self, state: JsonObject, touched: frozenset[str], before: JsonObject, /) -> JsonObject:
        problem = "is not declared by any flow that shares the record"
        undeclared = sorted(touched - self._declaring.keys())
        if undeclared:
            raise StateValidationError(
                self._scope,
                tuple([Violation(format_pointer((name,)), "undeclared", problem) for name in undeclared]),
            )
        made_by: dict[str, str] = {}
        for kind, schema, own in self._judging(touched):
            normal = self._checked(kind, schema, state, own, before)
            made_by |= {name: kind for name in own if normal.get(name) is not state.get(name)}
            state = normal
        shared = frozenset(name for name in made_by if len(self._declaring[name]) > 1)
        for kind, schema, own in self._judging(shared):
            self._require_same(kind, self._checked(kind, schema, state, own, before), state, own, made_by)
        return state

    def shape(self, name: str, /) -> Shape:
        return self._first(name).shape(name)

    def declared_in(self, name: str, /) -> Sequence[str]:
        return [place for schema in self._schemas.values() for place in schema.declared_in(name)]

    def json_schema(self) -> JsonObject:
        return {"allOf": [schema.json_schema() for schema in self._schemas.values()]}

    @cached_property
    def hash(self) -> str:
        text = "\n".join(sorted(schema.hash for schema in self._schemas.values()))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _disputed(self) -> Set[str]:
        found = set()
        for name in self._declaring:
            defaults = self._defaults((name,))
            if not all(same_json(defaults[0], other) for other in defaults[1:]):
                found.add(name)
        return found

    def _defaults(self, pointer: Pointer) -> list[Json]:
        kinds = self._declaring.get(pointer[0], ())
        found = [self._schemas[kind].default_at(pointer) for kind in kinds]
        return [default for default in found if default is not MISSING]

    def _first(self, name: str) -> ScopeSchema:
        return self._schemas[self._declaring[name][0]]

    def _named(self, names: Callable[[ScopeSchema], tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for schema in self._schemas.values() for name in names(schema)))

    def _judging(self, touched: Set[str]) -> list[tuple[str, ScopeSchema, frozenset[str]]]:
        """The flows that declare some of these fields, and which."""
        return [
            (kind, schema, own)
            for kind, schema in self._schemas.items()
            if (own := frozenset(name for name in touched if schema.declares(name)))
        ]

    def _checked(
        self, kind: str, schema: ScopeSchema, state: JsonObject, own: frozenset[str], before: JsonObject
    ) -> JsonObject:
        try:
            return schema.check(state, own, before)
        except StateValidationError as refusal:
            told = [replace(one, message=f'{one.message}, says flow "{kind}"') for one in refusal.violations]
            raise StateValidationError(self._scope, tuple(told)) from None

    def _require_same(
        self, kind: str, settled: JsonObject, state: JsonObject, own: Set[str], made_by: Mapping[str, str]
    ) -> None:
        told = [
            Violation(
                format_pointer((name,)),
                "declared_differently",
                f'is made into one value by flow "{made_by[name]}" and into another one by flow "{kind}": '
                "name the flow that writes it",
            )
            for name in sorted(own)
            if not same_json(settled.get(name), state.get(name))
        ]
        if told:
            raise StateValidationError(self._scope, tuple(told))
