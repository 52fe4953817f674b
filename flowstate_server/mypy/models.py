"""What mypy knows of state models: their fields, and what kind of a thing a field is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from mypy.expandtype import expand_type_by_instance
from mypy.maptype import map_instance_to_supertype
from mypy.nodes import TypeInfo, Var
from mypy.types import (
    AnyType,
    Instance,
    LiteralType,
    NoneType,
    ProperType,
    TupleType,
    Type,
    TypeAliasType,
    TypedDictType,
    TypeOfAny,
    TypeVarType,
    UnionType,
    get_proper_type,
)

BASE_MODEL = "pydantic.main.BaseModel"
ROOT_MODEL = "pydantic.root_model.RootModel"


class Kind(Enum):
    """What JSON a type is written as, as far as operations tell it apart."""

    NUMBER = "a number"
    LIST = "a list"
    MAP = "a map"
    OBJECT = "an object"
    TEXT = "text"
    BOOLEAN = "a boolean"
    UNKNOWN = "whatever its author says"


def model_of(handle: Type, handles: Mapping[str, int]) -> Instance | None:
    """The model of a handle's state; ``None`` if it has none, or one that declares nothing."""
    proper = get_proper_type(handle)
    if not isinstance(proper, Instance):
        return None
    info = next((base for base in proper.type.mro if base.fullname in handles), None)
    if info is None:
        return None
    model = get_proper_type(map_instance_to_supertype(proper, info).args[handles[info.fullname]])
    if isinstance(model, TypeVarType):
        model = get_proper_type(model.upper_bound)
    if not isinstance(model, Instance) or model.type.fallback_to_any or model.type.fullname == BASE_MODEL:
        return None
    return model if model.type.has_base(BASE_MODEL) else None


def fields_of(model: Instance) -> dict[str, Type]:
    """The types of the fields of a pydantic model."""
    above = next(base for base in model.type.mro if base.fullname == BASE_MODEL).mro
    fields: dict[str, Type] = {}
    for base in reversed(model.type.mro):
        if base in above:
            continue
        for name, symbol in base.names.items():
            node = symbol.node
            if not isinstance(node, Var) or symbol.implicit or name.startswith("_") or node.is_inferred:
                continue
            if node.is_classvar:
                fields.pop(name, None)
                continue
            of_base = map_instance_to_supertype(model, base)
            fields[name] = expand_type_by_instance(node.type or any_type(), of_base)
    return fields


def choices(kind: Type) -> Sequence[ProperType]:
    """The members of a union without null, or the type itself."""
    proper = get_proper_type(kind)
    if not isinstance(proper, UnionType):
        return [] if isinstance(proper, NoneType) else [proper]
    return [choice for item in proper.items for choice in choices(item)]


def kind_of(choice: ProperType) -> Kind:
    if isinstance(choice, LiteralType):
        return kind_of(choice.fallback)
    if isinstance(choice, TupleType):
        return Kind.LIST
    if isinstance(choice, TypedDictType):
        return Kind.MAP
    if not isinstance(choice, Instance) or choice.type.fallback_to_any:
        return Kind.UNKNOWN
    return _kind_of_class(choice)


def _kind_of_class(instance: Instance) -> Kind:
    info = instance.type
    if info.has_base(BASE_MODEL):
        return Kind.UNKNOWN if info.has_base(ROOT_MODEL) else Kind.OBJECT
    for name, kind in _KINDS.items():
        if info.has_base(name):
            return kind
    if mapping_of(instance) is not None:
        return Kind.MAP
    return Kind.UNKNOWN if elements_of(instance) is None else Kind.LIST


_KINDS = {
    "builtins.bool": Kind.BOOLEAN,
    "builtins.int": Kind.NUMBER,
    "builtins.float": Kind.NUMBER,
    "builtins.str": Kind.TEXT,
    "builtins.bytes": Kind.TEXT,
}


def mapping_of(choice: ProperType) -> tuple[Type, Type] | None:
    """The types of a map's keys and values."""
    found = _as(choice, "typing.Mapping")
    return None if found is None else (found.args[0], found.args[1])


def elements_of(choice: ProperType) -> Type | None:
    """The type of a list's elements, as far as there is one for all of them."""
    found = _as(choice, "typing.Collection") or _as(choice, "typing.Iterable")
    return None if found is None else found.args[0]


def is_whole(choice: ProperType) -> bool:
    """Whether a number has to stay an integer."""
    proper = choice.fallback if isinstance(choice, LiteralType) else choice
    return isinstance(proper, Instance) and proper.type.has_base("builtins.int")


def is_recursive(kind: Type) -> bool:
    return isinstance(kind, TypeAliasType) and kind.is_recursive


def any_type() -> AnyType:
    return AnyType(TypeOfAny.special_form)


def _as(choice: ProperType, fullname: str) -> Instance | None:
    if not isinstance(choice, Instance):
        return None
    info: TypeInfo | None = next((base for base in choice.type.mro if base.fullname == fullname), None)
    return None if info is None else map_instance_to_supertype(choice, info)
