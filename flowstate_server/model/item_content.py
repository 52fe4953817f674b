"""What the content of an item has to look like, by its kind: ``flowstate.v1.Item.content``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.items import ItemKind
from flowstate_server.model.json_values import Json

_Check = Callable[[Json, str], Iterator[Violation]]


def check_content(kind: ItemKind, content: Json) -> None:
    """Whether ``content`` has the members that its kind fixes, and no others.

    Raises:
        ValidationFailedError: it has not; each violation has its place, from ``/content`` on.
    """
    members = _MEMBERS.get(kind)
    if members is not None and (violations := tuple(_object(content, "/content", members))):
        raise ValidationFailedError(violations)


def _object(value: Json, path: str, members: Mapping[str, _Check]) -> Iterator[Violation]:
    if not isinstance(value, dict):
        yield Violation(path, "object_type", f"must be an object with {' and '.join(members)}")
        return
    for name, check in members.items():
        if name in value:
            yield from check(value[name], f"{path}/{name}")
        else:
            yield Violation(f"{path}/{name}", "required", "is missing")
    for name in sorted(value.keys() - members.keys()):  # the same in every process
        place = name.replace("~", "~0").replace("/", "~1")
        known = " and ".join(members)
        yield Violation(f"{path}/{place}", "extra_forbidden", f"is no member here; those are {known}")


def _any(value: Json, path: str) -> Iterator[Violation]:
    return iter(())


def _text(value: Json, path: str) -> Iterator[Violation]:
    if not isinstance(value, str):
        yield Violation(path, "string_type", "must be a string")


def _name(value: Json, path: str) -> Iterator[Violation]:
    if not isinstance(value, str) or not value:
        yield Violation(path, "string_type", "must be a string that is not empty")


def _parts(value: Json, path: str) -> Iterator[Violation]:
    if not isinstance(value, list):
        yield Violation(path, "list_type", "must be a list of parts")
        return
    for index, part in enumerate(value):
        place = f"{path}/{index}"
        if not isinstance(part, dict):
            yield Violation(place, "object_type", "must be an object with a type")
            continue
        yield from _name(part.get("type"), f"{place}/type")
        if part.get("type") == "text":
            yield from _text(part.get("text"), f"{place}/text")


_MEMBERS: Mapping[ItemKind, Mapping[str, _Check]] = {
    ItemKind.MESSAGE: {"parts": _parts},
    ItemKind.REASONING: {"text": _text},
    ItemKind.TOOL_CALL: {"call_id": _name, "arguments": _any},
    ItemKind.TOOL_OUTPUT: {"call_id": _name, "output": _any},
    ItemKind.ERROR: {"message": _text},
}
