"""The synchronous client has every public method of the asynchronous one, with its parameters and types."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import flowstate_client
import flowstate_client.sync

PAIRS: Mapping[type, type] = {
    getattr(flowstate_client, {"Pager": "AsyncPager"}.get(name, name)): getattr(flowstate_client.sync, name)
    for name in flowstate_client.sync.__all__
    if name != "ContentSource"
}
INTERNAL = {(flowstate_client.States, "commit"), (flowstate_client.States, "turn")}
RENAMED = {"aclose": "close", "AsyncPager": "Pager", "AsyncIterator": "Iterator"}


def public(kind: type) -> Iterator[tuple[str, Any]]:
    for name, value in inspect.getmembers(kind):
        is_told = inspect.isfunction(value) or inspect.ismethod(value) or isinstance(value, property)
        if is_told and (not name.startswith("_") or name == "__getitem__"):
            yield name, getattr(value, "fget", None) or getattr(value, "__func__", value)


def is_its_own(kind: type) -> bool:
    """Whether a class works with the loop, so that there must be two of it."""
    members = [value for _, value in inspect.getmembers(kind)]
    returned = [str(inspect.signature(f).return_annotation) for _, f in public(kind)]
    mine = [other.__name__ for other in PAIRS]
    return any(map(inspect.iscoroutinefunction, members)) or any(
        re.match(rf"({'|'.join(mine)})\b", one) for one in returned
    )


def told(function: Any, name: str) -> str:
    """The signature as it is written, in the words of the synchronous client."""
    text = re.sub(r"\bCoroutine\[Any, Any, (\w+)\]", r"\1", str(inspect.signature(function)))
    text = re.sub(r"<object object at 0x\w+>", "...", text)
    return name + re.sub(r"\w+", lambda word: RENAMED.get(word.group(), word.group()), text)


@pytest.mark.parametrize("pair", PAIRS.items(), ids=lambda pair: pair[0].__name__)
def test_names_parameters_and_types_are_the_same(pair: tuple[type, type]) -> None:
    theirs, ours = pair
    wanted, found = {}, {}
    for name, function in public(theirs):
        if (theirs, name) not in INTERNAL:
            name = RENAMED.get(name, name)
            wanted[name] = [told(f, name) for f in [*typing.get_overloads(function), function]]
    for name, function in public(ours):
        found[name] = [told(f, name) for f in [*typing.get_overloads(function), function]]
    attributes = set(found) - set(wanted)
    assert {name: found[name] for name in wanted} == wanted
    assert all(isinstance(getattr(ours, name), property) for name in attributes), attributes


def test_nothing_is_missing() -> None:
    classes = {
        value
        for name in flowstate_client.__all__
        if inspect.isclass(value := getattr(flowstate_client, name))
    }
    needed = {kind for kind in classes if is_its_own(kind)}
    assert needed - set(PAIRS) == set()
    assert len(needed) > 15


def test_everything_is_documented() -> None:
    missing = [
        f"{kind.__name__}.{name}"
        for kind in PAIRS.values()
        for name, function in public(kind)
        if not function.__doc__ and name not in {"__getitem__", *_attributes(kind)}
    ]
    assert missing == []
    assert all(kind.__doc__ for kind in PAIRS.values())
    text = " ".join((f.__doc__ or "") for kind in PAIRS.values() for _, f in public(kind))
    assert not re.search(r"\b(await|async|aclose)\b", text)


def _attributes(kind: type) -> set[str]:
    """Properties that stand for attributes, which the docstring of the class tells."""
    return {name for name, value in inspect.getmembers(kind) if isinstance(value, property)}
