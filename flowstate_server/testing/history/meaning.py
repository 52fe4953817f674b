"""What operations mean, as the server has it: the pure functions of ``flowstate_server.state``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from flowstate_server.model.json_values import JsonObject, encode_json, same_json
from flowstate_server.model.records import StateRecord
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.state.apply import apply, difference
from flowstate_server.state.operations import Operation
from flowstate_server.state.rules import NO_RULES
from flowstate_server.stores.contract.writes import NO_CHANGE, Change, Changed, NoChange
from flowstate_server.testing.history.calls import Key

Schemas = Callable[[Key], ScopeSchema | None]
"""The schema that governs a record; ``None``: anything may be stored, nothing has a default."""


def no_schema(_: Key) -> None:
    return None


def applied(
    state: JsonObject, operations: Sequence[Operation], schema: ScopeSchema | None
) -> JsonObject | None:
    """The state after ``operations``, ``None`` if they change nothing. Raises what refuses them."""
    after = apply(state, operations, schema or NO_RULES)
    if schema is not None:
        after = after.checked(schema)
    return None if difference(state, after).empty else after.state


def same_state(one: JsonObject, other: JsonObject, schema: ScopeSchema | None) -> bool:
    """Whether two states are equal, defaults shown or not."""
    if schema is not None:
        one, other = schema.with_defaults(one), schema.with_defaults(other)
    return same_json(one, other)


def change_of(*operations: Operation) -> Change:
    """The change that operations make without a schema, for a ``ChangeState`` that a recorder can read."""
    return partial(_change, operations=operations)


def operations_of(change: Change) -> tuple[Operation, ...] | None:
    """The operations of a :func:`change_of`; ``None`` for any other change."""
    if isinstance(change, partial) and change.func is _change:
        operations: tuple[Operation, ...] = change.keywords["operations"]
        return operations
    return None


def _change(record: StateRecord, *, operations: tuple[Operation, ...]) -> Changed | NoChange:
    state = applied(record.state, operations, None)
    return NO_CHANGE if state is None else Changed(state, encode_json(state))
