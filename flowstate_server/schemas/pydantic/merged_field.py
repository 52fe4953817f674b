"""A field of the merged schema of one scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flowstate_server.schemas.pydantic.model_rules import ModelRules
from flowstate_server.schemas.shape import Shape


@dataclass(frozen=True, slots=True)
class MergedField:
    """A field as all declarations together have it.

    ``default`` names the model whose default is kept, ``drawn`` the one whose factory gives another value each time:
    that is written once, and the field is absent until then. ``rules`` are those of every model that declares it.
    """

    shape: Shape
    rules: tuple[ModelRules[Any], ...]
    default: ModelRules[Any] | None
    drawn: ModelRules[Any] | None = None

    @property
    def reader(self) -> ModelRules[Any]:
        """The rules by which the field reads where nobody asks for one of the models."""
        return self.default or self.rules[0]
