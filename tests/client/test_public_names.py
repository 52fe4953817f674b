"""What the package promises: its names, and a docstring for each."""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import types
import typing

import pytest

import flowstate_client
import flowstate_client.testing

UNDOCUMENTED = {
    "ContentSource",
    "Plane",
    "MetadataProvider",
    "OnCall",
    "Progress",
    "ResourceView",
    "Seen",
    "UNSET",
}  # aliases and a constant, which cannot hold one


SHADOWS = {"TimeoutError"}


def test_import_star_shadows_no_builtin() -> None:
    assert not set(flowstate_client.__all__) & set(vars(builtins))
    assert issubclass(flowstate_client.TimeoutError, TimeoutError)


def test_all_names_what_is_imported() -> None:
    public = {
        name
        for name, value in vars(flowstate_client).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == {*flowstate_client.__all__, *SHADOWS}
    assert len(flowstate_client.__all__) == len(set(flowstate_client.__all__))


def test_what_public_methods_take_can_be_imported() -> None:
    aliases = set()
    for cls in filter(inspect.isclass, vars(flowstate_client).values()):
        for name, function in inspect.getmembers(cls, inspect.isfunction):
            if name.startswith("_") or not function.__module__.startswith("flowstate_client"):
                continue
            for annotation in function.__annotations__.values():
                for word in re.findall(r"\w+", annotation):
                    if typing.get_origin(vars(sys.modules[function.__module__]).get(word)) is not None:
                        aliases.add(word)
    assert {"Seen", "Progress"} <= aliases <= set(flowstate_client.__all__)


@pytest.mark.parametrize("package", [flowstate_client, flowstate_client.testing])
def test_everything_public_is_documented(package: types.ModuleType) -> None:
    missing = []
    for name in sorted(set(package.__all__) - UNDOCUMENTED):
        cls = getattr(package, name)
        if not (cls.__doc__ or "").strip() or cls.__doc__.startswith(f"{name}("):
            missing.append(name)
        for attribute, value in vars(cls).items():
            function = getattr(value, "__func__", getattr(value, "fget", value))
            if attribute.startswith("_") or not inspect.isfunction(function):
                continue
            if not (function.__doc__ or "").strip():
                missing.append(f"{name}.{attribute}")
    assert missing == []
