"""Where a call is at fault, as its error tells."""

from __future__ import annotations

from dataclasses import dataclass

from flowstate_client.models import Scope


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One rule that one place of a message breaks: ``field`` is its path, ``reason`` the rule, both stable."""

    field: str
    reason: str
    description: str


@dataclass(frozen=True, slots=True)
class MutationAtFault:
    """The one of several writes that was refused: its position in the commit (in a batch: in the order in which the
    records were first named), and whose record it names."""

    index: int
    scope: Scope
    owner: str
