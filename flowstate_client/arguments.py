"""What a caller passes, checked ahead of the wire, where a mistake would be stored or fail without a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from flowstate.v1 import types_pb2
from flowstate_client.json_profile import check_text

T = TypeVar("T")
Key = TypeVar("Key", bound=str)
Value = TypeVar("Value")


def texts(given: Iterable[str], name: str) -> tuple[str, ...]:
    """The texts of a list that is called ``name``. One text is none: its letters would be taken.

    Raises:
        TypeError: it is no list, or something in it is no text.
        ValueError: a text has a lone surrogate.
    """
    found = _listed(given, f"{name} takes a list of texts")
    return tuple(check_text(one, f"{name}[{place}]") for place, one in enumerate(found))


def one_or_more(given: str | Iterable[str], name: str) -> tuple[str, ...]:
    """As :func:`texts`, of one text, too."""
    return texts((given,) if isinstance(given, str) else given, name)


def instances(given: Iterable[T], kind: type[T], name: str) -> tuple[T, ...]:
    """The values of a list that is called ``name``.

    Raises:
        TypeError: it is no list, or something in it is of another type.
    """
    found = _listed(given, f"{name} takes a list of {kind.__name__}")
    for place, one in enumerate(found):
        if not isinstance(one, kind):
            raise TypeError(f"{name}[{place}] must be a {kind.__name__}, not {type(one).__name__}")
    return found


def mapping(given: Mapping[Key, Value], name: str) -> dict[Key, Value]:
    """The mapping that is called ``name``.

    Raises:
        TypeError: it is none, or a key is no text.
    """
    found: object = given
    if not isinstance(found, Mapping):
        raise TypeError(f"{name} takes a mapping, such as a dict, not {type(found).__name__}")
    for key in found:
        check_text(key, f"a key of {name}")
    return dict(given)


def scope_ref(*, flow_kind: str | None = "", isolated: bool = False, **owner: str) -> types_pb2.ScopeRef:
    """The reference of a record by its ``owner``, such as ``user_id="u1"``.

    Raises:
        TypeError: something is no text.
    """
    ((name, id),) = owner.items()
    ref = types_pb2.ScopeRef(flow_kind=check_text(flow_kind or "", "flow_kind"), isolated=isolated)
    setattr(ref, name, check_text(id, name))
    return ref


def _listed(given: Any, wanted: str) -> tuple[Any, ...]:
    if isinstance(given, (str, bytes)):
        raise TypeError(f"{wanted}, not one text")
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"{wanted}, not {type(given).__name__}")
    return tuple(given)
