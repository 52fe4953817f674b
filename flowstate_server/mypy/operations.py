"""The signature that each operation has in one call of it, for the fields that are named there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mypy.nodes import (
    ARG_NAMED,
    ARG_NAMED_OPT,
    ARG_POS,
    CallExpr,
    DictExpr,
    Expression,
    RefExpr,
)
from mypy.types import CallableType, Type, UnionType, get_proper_type

from flowstate_server.mypy.calls import Call
from flowstate_server.mypy.models import Kind, any_type, choices, elements_of, is_whole, mapping_of
from flowstate_server.mypy.returned import dicts_returned, returned_fields

_Place = Callable[[str | None, Expression, Expression], Type]
"""The type of what is given for a field: of its name, where that stands, and what is given."""


def _set(call: Call) -> CallableType:
    return _with_fields(call, _any_value(call))


def _patch(call: Call) -> CallableType:
    return _with_fields(call, _any_value(call))


def _increase(call: Call) -> CallableType:
    def delta(name: str | None, place: Expression, given: Expression) -> Type:
        kind = call.field(name, place, (Kind.NUMBER,))
        whole = kind is not None and all(is_whole(choice) for choice in choices(kind))
        return call.context.api.named_generic_type("builtins.int" if whole else "builtins.float", [])

    return _with_fields(call, delta)


def _push(call: Call) -> CallableType:
    kind = _first_field(call, Kind.LIST)
    found = [] if kind is None else [elements_of(choice) for choice in choices(kind)]
    elements = [element for element in found if element is not None]
    if not elements or len(elements) < len(found):
        return call.signature
    return _replaced(call.signature, {1: call.taken.value(UnionType.make_union(elements))})


def _set_record(call: Call) -> CallableType:
    pairs = _pairs(call)
    if not pairs:
        return call.signature
    key, value = (UnionType.make_union(list(kinds)) for kinds in zip(*pairs, strict=True))
    return _replaced(call.signature, {1: call.taken.key(key), 2: call.taken.value(value)})


def _delete_record(call: Call) -> CallableType:
    pairs = _pairs(call)
    if not pairs:
        return call.signature
    return _replaced(call.signature, {1: call.taken.key(UnionType.make_union([key for key, _ in pairs]))})


def _unset(call: Call) -> CallableType:
    for given, kind in zip(call.call.args, call.call.arg_kinds, strict=True):
        if kind is ARG_POS:
            call.field(call.text(given), given)
    return call.signature


def _get(call: Call) -> CallableType:
    _first_field(call)
    return call.signature


def _atomic(call: Call) -> CallableType:
    # The checker's file is no part of what mypy promises to plugins.
    file = getattr(call.context.api, "tree", None)
    for name, place in returned_fields(call.positional(0), file, call.text):
        call.field(name, place)
    change = get_proper_type(call.signature.arg_types[0])
    returned = dicts_returned(call.positional(0))
    fields = _fields_taken(call, returned) if returned else None
    if fields is None or not isinstance(change, CallableType):
        return call.signature
    return _replaced(call.signature, {0: change.copy_modified(ret_type=fields)})


OPERATIONS: dict[str, Callable[[Call], CallableType]] = {
    "set_state": _set,
    "patch_state": _patch,
    "inc_state": _increase,
    "push_state": _push,
    "set_state_record": _set_record,
    "delete_state_record": _delete_record,
    "unset_state": _unset,
    "get": _get,
    "atomic_state": _atomic,
}


def _any_value(call: Call) -> _Place:
    return lambda name, place, given: call.value(call.field(name, place), given)


def _with_fields(call: Call, place: _Place) -> CallableType:
    """The signature with the fields of a dict that is written out, and those that are given by keyword."""
    given = call.positional(0)
    fields = _fields_of_dict(call, given, place) if isinstance(given, DictExpr) else None
    signature = call.signature if fields is None else _replaced(call.signature, {0: fields})
    if (
        isinstance(given, CallExpr)
        and isinstance(given.callee, RefExpr)
        and given.callee.fullname == "builtins.dict"
    ):
        _by_keyword(given, place)
    keywords = _by_keyword(call.call, place)
    if not keywords:
        return signature
    return signature.copy_modified(
        arg_types=[*signature.arg_types[:1], *keywords.values(), *signature.arg_types[1:]],
        arg_kinds=[*signature.arg_kinds[:1], *[ARG_NAMED_OPT] * len(keywords), *signature.arg_kinds[1:]],
        arg_names=[*signature.arg_names[:1], *keywords, *signature.arg_names[1:]],
    )


def _by_keyword(call: CallExpr, place: _Place) -> dict[str, Type]:
    return {
        name: place(name, value, value)
        for value, kind, name in zip(call.args, call.arg_kinds, call.arg_names, strict=True)
        if kind is ARG_NAMED and name is not None
    }


def _fields_of_dict(call: Call, given: DictExpr, place: _Place) -> Type | None:
    """The type of a dict; ``None`` if not all of its keys are known."""
    items: dict[str, Type] = {}
    for key, value in given.items:
        if key is not None and (name := call.text(key)) is not None:
            items[name] = place(name, key, value)
    plain = len(items) == len(given.items)
    return call.taken.fields(items) if plain else None


def _fields_taken(call: Call, written: Iterable[DictExpr]) -> Type | None:
    """The type of what is one of these dicts; ``None`` if not all of their keys are known.

    What their values are is not asked: in a function the checker has not come to them yet.
    """
    items: dict[str, Type] = {}
    for key, _ in (item for given in written for item in given.items):
        name = None if key is None else call.text(key)
        if name is None:
            return None
        kind = call.fields.get(name)
        items[name] = any_type() if kind is None else call.taken.value(kind)
    return call.taken.fields(items)


def _first_field(call: Call, *needed: Kind) -> Type | None:
    given = call.positional(0)
    return None if given is None else call.field(call.text(given), given, needed)


def _pairs(call: Call) -> list[tuple[Type, Type]]:
    """The types of keys and values of the map that is named; none if it may be something else."""
    kind = _first_field(call, Kind.MAP, Kind.OBJECT)
    found = [] if kind is None else [mapping_of(choice) for choice in choices(kind)]
    pairs = [pair for pair in found if pair is not None]
    return pairs if len(pairs) == len(found) else []


def _replaced(signature: CallableType, types: dict[int, Type]) -> CallableType:
    kept = enumerate(signature.arg_types)
    return signature.copy_modified(arg_types=[types.get(index, kind) for index, kind in kept])
