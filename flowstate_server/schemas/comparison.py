"""Comparing shapes: whether two schemas mean the same by a field, and if not, where and how they part."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from flowstate_server.schemas.shape import Shape, canonical_shape, json_kind, shape_name, type_functions

TYPES = "incompatible-types"
SHAPE = "incompatible-shape"
VALUES = "incompatible-values"


class Discrepancy(NamedTuple):
    """A field that two schemas declare differently.

    ``reason`` is ``incompatible-shape`` when the JSON forms differ (a string and a number, other members),
    ``incompatible-types`` when equal JSON forms have different types or nullability, ``incompatible-values`` when
    one allows other values of the same type (constraints, enum or literal members, validators).
    """

    field: str
    reason: str
    detail: str


class Shaped(Protocol):
    """What declares fields: a schema, or what is recorded of one."""

    @property
    def fields(self) -> tuple[str, ...]: ...

    def declares(self, name: str, /) -> bool: ...

    def shape(self, name: str, /) -> Shape: ...


def same_shape(one: Shaped, other: Shaped) -> list[Discrepancy]:
    """The fields that both schemas declare and not alike, one discrepancy each. Defaults of top-level fields don't
    count, nor do the names of models and enums."""
    found = []
    for name in one.fields:
        if other.declares(name):
            parting = first_parting(one.shape(name), other.shape(name))
            if parting is not None:
                found.append(Discrepancy(name, *parting))
    return found


def first_parting(one: Shape, other: Shape) -> tuple[str, str] | None:
    """Reason and detail of where two shapes part, or ``None`` if they are equal."""
    if one == other or canonical_shape(one, exact=True) == canonical_shape(other, exact=True):
        return None
    path, reason, left, right = next(_partings(one, other, ""), ("", TYPES, one, other))
    left_name, right_name = shape_name(left), shape_name(right)
    if left_name == right_name:
        left_name, right_name = left_name + _extras(left), right_name + _extras(right)
    return reason, f"{path}: {left_name} vs {right_name}" if path else f"{left_name} vs {right_name}"


def part_by_validators_alone(one: Shape, other: Shape) -> bool:
    """Whether shapes that part are equal but for the functions that validate their values."""
    return first_parting(_unvalidated(one), _unvalidated(other)) is None


def _unvalidated(shape: Shape) -> Shape:
    bare = {key: value for key, value in shape.items() if key != "validators"}
    if of_type := type_functions(shape):
        bare["validators"] = [f"of {token}" for token in of_type]
    for key in ("of", "keys"):
        if key in bare:
            bare[key] = _unvalidated(bare[key])
    if "choices" in bare:
        bare["choices"] = [_unvalidated(choice) for choice in bare["choices"]]
    if "fields" in bare:
        bare["fields"] = {name: _unvalidated(member) for name, member in bare["fields"].items()}
    return bare


def _extras(shape: Shape) -> str:
    """What tells shapes of equal name apart."""
    names = [token.split("#")[0] for token in shape.get("validators", [])]
    required = {True: " (required)", False: " (with a default)", None: ""}[shape.get("required")]
    return required + (f" with {', '.join(names)}" if names else "")


def _partings(one: Shape, other: Shape, path: str) -> Iterator[tuple[str, str, Shape, Shape]]:
    if canonical_shape(one, exact=True) == canonical_shape(other, exact=True):
        return
    if (one["type"] == "nullable") != (other["type"] == "nullable"):
        plain = _partings(_bare(one), _bare(other), path)
        deeper = next(plain, None)
        yield (path, SHAPE if deeper and deeper[1] == SHAPE else TYPES, one, other)
        return
    if json_kind(one) != json_kind(other):
        yield (path, SHAPE, one, other)
        return
    if one["type"] != other["type"]:
        yield (path, TYPES, one, other)
        return
    if type_functions(one) != type_functions(other):
        yield (path, TYPES, one, other)
        return
    yield from _inner_partings(one, other, path)
    for key, reason in _COMPARED:
        if canonical_shape({"": one.get(key)}, exact=True) != canonical_shape(
            {"": other.get(key)}, exact=True
        ):
            yield (path, reason, one, other)
    yield (path, TYPES, one, other)


_COMPARED = (
    ("order", SHAPE),
    ("choices", TYPES),
    ("values", VALUES),
    ("constraints", VALUES),
    ("validators", VALUES),
)


def _inner_partings(one: Shape, other: Shape, path: str) -> Iterator[tuple[str, str, Shape, Shape]]:
    if "fields" in one and "fields" in other:
        if one["fields"].keys() != other["fields"].keys():
            yield (path, SHAPE, one, other)
            return
        for name, member in sorted(one["fields"].items()):  # in one order, whichever comes first
            counterpart = other["fields"][name]
            if member["required"] != counterpart["required"]:
                yield (f"{path}/{name}", SHAPE, member, counterpart)
            yield from _partings(member, counterpart, f"{path}/{name}")
    for key in ("keys", "of"):
        if key in one and key in other:
            below = path if one["type"] == "nullable" else f"{path}/*"
            yield from _partings(one[key], other[key], below)


def _bare(shape: Shape) -> Shape:
    inner: Shape = shape["of"] if shape["type"] == "nullable" else shape
    return inner
