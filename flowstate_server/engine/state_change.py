"""From operations to the pure change that a store applies inside its transaction."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.engine.rehearsals import Rehearsed, checked
from flowstate_server.engine.upgrades import RecordUpgrades, Upgraded
from flowstate_server.errors import StateTooLargeError
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import FOR_CLIENTS, INTERNAL
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.payloads import StateChange
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind, org_scope, user_scope
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.state.apply import apply
from flowstate_server.state.difference import Difference, difference_at
from flowstate_server.state.json_pointer import parse_pointer
from flowstate_server.state.operations import Operation
from flowstate_server.stores.contract.writes import NO_CHANGE, Change, Changed, NoChange


@frozen
class ChangeRules:
    """What governs the changes of one scope: the flow that writes and its schema, the generations of those that share
    the record, the size limit, and how events are marked."""

    writer: FlowDescription
    schema: ScopeSchema
    upgrades: RecordUpgrades
    max_bytes: int
    transient: bool

    @classmethod
    def of(cls, flow: FlowDescription, scope: ScopeKind, max_bytes: int, catalogue: Catalogue) -> ChangeRules:
        def make() -> ChangeRules:
            upgrades = RecordUpgrades.of(catalogue, scope, flow)
            return cls(
                flow, flow.schemas[scope], upgrades, max_bytes, transient=not flow.persist_state_changes
            )

        return catalogue.remembered((cls, scope, flow, max_bytes), make)


def state_change(
    operations: Sequence[Operation],
    rules: ChangeRules,
    block_path: tuple[str, ...] = (),
    *,
    expected: Upgraded | None = None,
    rehearsed: Rehearsed | None = None,
) -> Change:
    """The change that ``operations`` make: applied in order, validated, measured, with its ``state_change`` event.

    They are applied to the record as it reads today; the event tells the difference to what is stored. ``expected``
    spares an upgrade in the transaction if the newest record is the one of which it was made, and what was
    ``rehearsed`` is not validated again.
    """

    def change(record: StateRecord) -> Changed | NoChange:
        if not operations:  # there is only a precondition
            return NO_CHANGE
        rules.upgrades.require_writable(record)
        today = (
            expected if expected is not None and expected.is_of(record) else rules.upgrades.upgraded(record)
        )
        raw = apply(today.record.state, operations, rules.schema)
        applied = (rehearsed and rehearsed.of(raw)) or checked(raw, rules.schema)
        told = difference_at(record.state, applied.state, applied.pointers | today.pointers)
        if told.empty:
            return NO_CHANGE
        text = checked_text(record, applied.state, rules)
        events = (_event(record, told, rules, block_path),)
        return Changed(applied.state, text, events, rules.upgrades.written(record, rules.writer))

    return change


def checked_text(record: StateRecord, state: JsonObject, rules: ChangeRules) -> bytes:
    """The JSON text of what ``record`` is to hold.

    Raises:
        StateTooLargeError: more than a state may have.
    """
    text = encode_json(state)
    if len(text) > rules.max_bytes:
        raise StateTooLargeError(record.key.kind, len(text), rules.max_bytes)
    return text


def _event(record: StateRecord, told: Difference, rules: ChangeRules, block_path: tuple[str, ...]) -> Event:
    of_request = record.key.kind is ScopeKind.REQUEST
    declarations = rules.writer.declarations[record.key.kind]
    payload = StateChange(
        scope=record.key.kind,
        previous_version=record.version,
        version=record.version + 1,
        changed=told.changed,
        removed=told.removed,
        stale=told.stale,
        declared={
            name: declarations[name]
            for name in (parse_pointer(place)[0] for place in (*told.changed, *told.removed))
            if name in declarations
        },
    )
    return Event(
        EventType.STATE_CHANGE,
        payload.encode(),
        INTERNAL if of_request else FOR_CLIENTS,
        transient=of_request or rules.transient,
        block_path=block_path,
    )


def shared_scopes(flow: FlowDescription, user_id: str, org_id: str) -> dict[ScopeKind, ScopeKey]:
    """The user and org records that ``flow`` works on: shared ones, or its own where it is isolated."""
    scopes = {
        ScopeKind.USER: user_scope(user_id, isolated_flow=flow.kind if flow.isolates(ScopeKind.USER) else "")
    }
    if org_id:
        scopes[ScopeKind.ORG] = org_scope(
            org_id, isolated_flow=flow.kind if flow.isolates(ScopeKind.ORG) else ""
        )
    return scopes
