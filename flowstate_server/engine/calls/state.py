"""Reads and commits of state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from flowstate_server.engine.readings import Readings
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.state.operations import Operation
from flowstate_server.stores.contract.writes import AtVersion, Exists, Precondition

__all__ = [
    "AtVersion",
    "Exists",
    "Precondition",
    "ScopeTarget",
    "StateAnswer",
    "StateCommit",
    "StateCommitted",
    "StateMutation",
]


@frozen
class ScopeTarget:
    """A scope as a caller names it: its kind and bare id, and the flow whose schema governs the write."""

    kind: ScopeKind
    id: str
    flow_kind: str = ""


@frozen
class StateMutation:
    target: ScopeTarget
    operations: tuple[Operation, ...]
    precondition: Precondition | None = None


@frozen
class StateCommit:
    """Mutations that are committed all or not at all. ``fingerprint`` is that of the message as sent."""

    mutations: tuple[StateMutation, ...]
    idempotency_key: str = ""
    fingerprint: str = ""
    request_id: str = ""


@frozen
class StateAnswer:
    """A state record as callers see it; ``schema`` is that of the flow that governs it, if there is one.

    ``readings`` remember for all answers what reads as it is stored.
    """

    target: ScopeTarget
    record: StateRecord
    schema: ScopeSchema | None
    changed: bool = False
    readings: Readings = field(default_factory=Readings, compare=False)

    @property
    def state(self) -> JsonObject:
        """The state as the schema reads it, with its defaults for what was never written."""
        return self.record.state if self.schema is None else self.readings.shown(self.schema, self.record)

    @property
    def schema_hash(self) -> str:
        """Empty where no flow governs the record."""
        return "" if self.schema is None else self.schema.hash


@frozen
class StateCommitted:
    answers: Sequence[StateAnswer]
    replayed: bool
