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
from flowstate_server.state.excerpt import excerpt
from flowstate_server.state.json_pointer import Pointer
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
    "StateDeletion",
    "StateMutation",
]


@frozen
class ScopeTarget:
    """A scope as a caller names it: its kind and bare id, and the flow whose schema governs the write (empty: all that
    share the record). ``isolated``: the flow's private record, whether or not it works on that at present."""

    kind: ScopeKind
    id: str
    flow_kind: str = ""
    isolated: bool = False


@frozen
class StateMutation:
    """``resource`` names one of the scope, whose state is meant; empty: that of the scope itself."""

    target: ScopeTarget
    operations: tuple[Operation, ...]
    precondition: Precondition | None = None
    resource: str = ""


@frozen
class StateCommit:
    """Mutations that are committed all or not at all, or with ``validate_only`` only looked at; ``fingerprint`` is that
    of the message as sent, but for that."""

    mutations: tuple[StateMutation, ...]
    idempotency_key: str = ""
    fingerprint: str = ""
    request_id: str = ""
    validate_only: bool = False


@frozen
class StateDeletion:
    """A user or org record to delete; with ``allow_missing`` one that does not exist is fine."""

    target: ScopeTarget
    precondition: Precondition | None = None
    allow_missing: bool = False
    idempotency_key: str = ""
    fingerprint: str = ""


@frozen
class StateAnswer:
    """A state record as callers see it; ``schema`` is what governs it, ``None`` if no flow has anything to say of it.

    ``paths``, if there are any, are all that was asked for. ``readings`` remember for all answers what reads as it is
    stored.
    """

    target: ScopeTarget
    record: StateRecord
    schema: ScopeSchema | None
    changed: bool = False
    readings: Readings = field(default_factory=Readings, compare=False)
    paths: tuple[Pointer, ...] = ()
    resource: str = ""

    @property
    def state(self) -> JsonObject:
        """The state as the schema reads it, with its defaults for what was never written."""
        state = self.record.state if self.schema is None else self.readings.shown(self.schema, self.record)
        return excerpt(state, self.paths) if self.paths else state

    @property
    def schema_hash(self) -> str:
        """Empty where no flow governs the record."""
        return "" if self.schema is None else self.schema.hash


@frozen
class StateCommitted:
    answers: Sequence[StateAnswer]
    replayed: bool
