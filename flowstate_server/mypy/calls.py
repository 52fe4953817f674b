"""One call of an operation: what it names, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from mypy.errorcodes import ErrorCode
from mypy.messages import format_type
from mypy.nodes import ARG_POS, CallExpr, Expression, RefExpr, StrExpr
from mypy.plugin import MethodSigContext
from mypy.types import CallableType, Instance, LiteralType, Type, get_proper_type

from flowstate_server.mypy.models import Kind, any_type, choices, kind_of
from flowstate_server.mypy.values import TakenTypes

FIELD = ErrorCode("flowstate-field", "Check the fields that operations on state name", "FlowState")


@dataclass(frozen=True)
class Call:
    """``method`` called on a handle of ``model``'s state."""

    method: str
    call: CallExpr
    context: MethodSigContext
    model: Instance
    fields: Mapping[str, Type]

    @property
    def signature(self) -> CallableType:
        return self.context.default_signature

    @property
    def taken(self) -> TakenTypes:
        return TakenTypes(self.context.api)

    def positional(self, index: int) -> Expression | None:
        kinds = self.call.arg_kinds[: index + 1]
        plain = len(kinds) > index and all(kind is ARG_POS for kind in kinds)
        return self.call.args[index] if plain else None

    def text(self, expression: Expression | None) -> str | None:
        """The text that ``expression`` is known to be."""
        if isinstance(expression, StrExpr):
            return expression.value
        if not isinstance(expression, RefExpr):
            return None
        kind = get_proper_type(self.context.api.get_expression_type(expression))
        if isinstance(kind, Instance):
            kind = kind.last_known_value or kind
        return kind.value if isinstance(kind, LiteralType) and isinstance(kind.value, str) else None

    def field(self, name: str | None, place: Expression, needed: Iterable[Kind] = ()) -> Type | None:
        """The type of a field; ``None`` if it is not known, or the call is told to be wrong at ``place``."""
        if name is None:
            return None
        kind = self.fields.get(name)
        owner = self.model.type.name
        if kind is None:
            close = get_close_matches(name, self.fields, 1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            self._fail(f'"{owner}" has no field "{name}"{hint}', place)
            return None
        needed = tuple(needed)
        kinds = {kind_of(choice) for choice in choices(kind)}
        if needed and kinds and kinds.isdisjoint((*needed, Kind.UNKNOWN)):
            problem = f'"{self.method}" needs {needed[0].value}'
            self._fail(f'{problem}, but "{name}" of "{owner}" is {self._written(kind)}', place)
            return None
        return kind

    def value(self, kind: Type | None, given: Expression) -> Type:
        """What may be given for a place of type ``kind``."""
        if kind is None:
            return any_type()
        taken = self.taken.value(kind)
        if {kind_of(choice) for choice in choices(kind)} == {Kind.LIST}:
            # To the checker text is a sequence of text, but it can't be written as a list.
            has = get_proper_type(self.context.api.get_expression_type(given, taken))
            if isinstance(has, Instance) and kind_of(has) is Kind.TEXT:
                self._fail(f"a value of type {self._written(has)} is no {self._written(kind)}", given)
                return any_type()
        return taken

    def _fail(self, problem: str, place: Expression) -> None:
        self.context.api.fail(problem, place, code=FIELD)

    def _written(self, kind: Type) -> str:
        return format_type(kind, self.context.api.options)
