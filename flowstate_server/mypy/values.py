"""What may be given for a place of a type: the type, and the JSON form of it."""

from __future__ import annotations

from mypy.plugin import CheckerPluginInterface
from mypy.types import (
    AnyType,
    Instance,
    LiteralType,
    NoneType,
    TupleType,
    Type,
    TypedDictType,
    UnionType,
    get_proper_type,
)

from flowstate_server.mypy.models import (
    Kind,
    any_type,
    elements_of,
    is_recursive,
    kind_of,
    mapping_of,
)

_PLAIN = ("builtins.str", "builtins.int", "builtins.float", "builtins.bool")


class TakenTypes:
    """Types for the checker. Lists, sets and maps are taken as whatever can be written as one."""

    def __init__(self, api: CheckerPluginInterface) -> None:
        self._api = api

    def value(self, kind: Type) -> Type:
        """For a field, an element or a record."""
        if is_recursive(kind):
            return any_type()
        proper = get_proper_type(kind)
        if isinstance(proper, UnionType):
            return UnionType.make_union([self.value(item) for item in proper.items])
        if isinstance(proper, NoneType):
            return proper
        if isinstance(proper, LiteralType):
            return self._or_json_scalar(proper) if proper.is_enum_literal() else proper
        if isinstance(proper, TupleType):
            return self._either(proper, self._named("builtins.list", any_type()))
        if isinstance(proper, TypedDictType):
            return self._mapping(any_type())
        if not isinstance(proper, Instance) or proper.type.fallback_to_any:
            return any_type()
        return self._of_class(proper)

    def _of_class(self, given: Instance) -> Type:
        name = given.type.fullname
        if name in _PLAIN:
            return given
        kind, pair = kind_of(given), mapping_of(given)
        if kind is Kind.OBJECT or any("dataclass" in key for key in given.type.metadata):
            return self._either(given, self._mapping(any_type()))
        if name == "builtins.object" or given.type.has_base("pydantic.root_model.RootModel"):
            return any_type()
        if pair is not None:
            return self._mapping(self.value(pair[1]))
        element = elements_of(given) if kind is Kind.LIST else None
        if element is None:
            return self._or_json_scalar(given)
        taken = self.value(element)
        return self._either(self._named("typing.Sequence", taken), self._named("typing.AbstractSet", taken))

    def key(self, kind: Type) -> Type:
        """For the key of a record."""
        proper = get_proper_type(kind)
        plain = isinstance(proper, AnyType | LiteralType)
        if plain or (isinstance(proper, Instance) and proper.type.fullname == "builtins.str"):
            return proper
        return self._either(proper, self._named("builtins.str"))

    def fields(self, items: dict[str, Type]) -> Type:
        """For a dict of fields that is written out."""
        return TypedDictType(items, set(), set(), self._named("typing._TypedDict"))

    def _or_json_scalar(self, kind: Type) -> Type:
        return self._either(kind, self._named("builtins.str"), self._named("builtins.float"))

    def _mapping(self, values: Type) -> Type:
        # `Mapping` is invariant in its keys, and JSON makes text of many
        return self._named("typing.Mapping", any_type(), values)

    def _either(self, *kinds: Type) -> Type:
        return UnionType.make_union(list(kinds))

    def _named(self, name: str, *arguments: Type) -> Instance:
        return self._api.named_generic_type(name, list(arguments))
