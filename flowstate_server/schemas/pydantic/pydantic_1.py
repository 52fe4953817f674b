"""Finding models of pydantic 1, which pydantic 2 takes without a word and can do little with."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel

ADVICE = "is a model of pydantic 1: make it one of pydantic 2 (its base is not to come from pydantic.v1)"


def model_of_pydantic_1(annotation: Any) -> str | None:
    """The name of the first such model in a type, or in the fields of models in it."""
    return _first(annotation, set())


def _first(annotation: Any, seen: set[int]) -> str | None:
    if id(annotation) in seen:
        return None
    seen.add(id(annotation))
    parts = list(get_args(annotation))
    if isinstance(annotation, type):
        if any(base.__module__.startswith("pydantic.v1.") for base in annotation.__mro__):
            return annotation.__qualname__
        if issubclass(annotation, BaseModel):
            parts += [info.annotation for info in annotation.model_fields.values()]
    return next((found for part in parts if (found := _first(part, seen)) is not None), None)


def no_model_class(given: object) -> str:
    """What is wrong with ``given`` where a model class is taken."""
    problem = f"takes a pydantic model class, not {given!r}"
    return problem if model_of_pydantic_1(given) is None else f"{problem}, which {ADVICE}"
