"""What the server asks of a schema, whoever made it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from flowstate_server.model.json_values import JsonObject
from flowstate_server.schemas.reading import Reading
from flowstate_server.schemas.shape import Shape
from flowstate_server.state.rules import StateRules


class ScopeSchema(StateRules, Protocol):
    """The schema of one scope of one flow: what fields there are, what may be stored in them, how they read.

    Immutable. One that declares no field stands for a scope that the flow does not use.
    """

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the declared fields."""
        ...

    @property
    def drawn(self) -> tuple[str, ...]:
        """The names of the fields whose first value the program makes, another one for each record: they have no
        default, and what :meth:`Program.draw` gives is stored as soon as a request begins on a record without them."""
        ...

    @property
    def partly_drawn(self) -> tuple[str, ...]:
        """The names of the fields in which there may be members that are made anew each time where they are absent."""
        ...

    def incomplete(self, state: JsonObject, /) -> tuple[str, ...]:
        """Those of ``partly_drawn`` whose stored value lacks such members, as an older deploy did not have them. What
        :meth:`check` makes of it has them."""
        ...

    def with_defaults(self, state: JsonObject, /) -> JsonObject:
        """``state`` as it reads: with the defaults of absent fields, and without nested members that the schema does
        not have. Fields without default stay absent."""
        ...

    @property
    def changeable(self) -> tuple[str, ...]:
        """The names of the fields whose stored value may read as another one; see :meth:`read_again`."""
        ...

    def read_again(self, state: JsonObject, names: Iterable[str], /) -> Reading:
        """How the stored values of ``names`` read today, as far as that is not how they are stored: what validation
        gives of them, in JSON. Names that ``state`` has not count as well."""
        ...

    def shape(self, name: str, /) -> Shape:
        """The shape of a declared field, by which flows that share a record are compared."""
        ...

    def declared_in(self, name: str, /) -> Sequence[str]:
        """Where a field is declared, in words for its author; nothing if it is not, or if that is not known."""
        ...

    def json_schema(self) -> JsonObject:
        """The scope as a JSON Schema (draft 2020-12), for those who ask what there is. Don't modify it."""
        ...

    @property
    def hash(self) -> str:
        """Equal for schemas with equal fields, shapes and defaults, in every process that runs the same code."""
        ...
