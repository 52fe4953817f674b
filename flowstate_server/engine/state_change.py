"""From operations to the pure change that a store applies inside its transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowstate_server.engine.rehearsals import Rehearsed, checked
from flowstate_server.engine.upgrades import RecordUpgrades, Upgraded
from flowstate_server.errors import StateTooLargeError
from flowstate_server.model.events import Event, EventType
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import FOR_CLIENTS, INTERNAL
from flowstate_server.model.json_values import JsonObject, encode_json
from flowstate_server.model.layered_state import LayeredState
from flowstate_server.model.payloads import StateChange
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKey, ScopeKind, org_scope, user_scope
from flowstate_server.model.state_parts import LARGE_BYTES, Fitting, StatePatch
from flowstate_server.programs.catalogue import Catalogue
from flowstate_server.programs.description import FlowDescription
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.schemas.shared import SharedSchema
from flowstate_server.state.apply import apply
from flowstate_server.state.difference import Difference, Place, difference_of, places_at
from flowstate_server.state.json_pointer import parse_pointer
from flowstate_server.state.operations import TESTS, Operation, touched_records
from flowstate_server.state.patch import detach, patch_of
from flowstate_server.stores.contract.writes import NO_CHANGE, Change, Changed, NoChange


@frozen
class ChangeRules:
    """What governs the changes of one scope: the flow that writes (empty: all that share the record) with its schema
    and declarations, the generations of those that share it, the size limit, how events are marked, and the name under
    which a resource of it is declared, if this is about one."""

    writer: str
    schema: ScopeSchema
    declarations: Mapping[str, str]
    upgrades: RecordUpgrades
    max_bytes: int
    transient: bool
    resource: str = ""

    @classmethod
    def of(
        cls,
        flow: FlowDescription,
        scope: ScopeKind,
        max_bytes: int,
        catalogue: Catalogue,
        *,
        isolated: bool = False,
    ) -> ChangeRules:
        """``isolated``: of the flow's private record, whether or not it works on that at present."""

        def make() -> ChangeRules:
            upgrades = RecordUpgrades.of(catalogue, scope, flow, isolated=isolated)
            transient = not flow.persist_state_changes
            declarations = flow.declarations[scope]
            return cls(flow.kind, flow.schemas[scope], declarations, upgrades, max_bytes, transient)

        return catalogue.remembered((cls, scope, flow, max_bytes, isolated), make)

    @classmethod
    def of_all(cls, scope: ScopeKind, max_bytes: int, catalogue: Catalogue) -> ChangeRules:
        """Of whoever names no flow: what all say together that share the record."""

        def make() -> ChangeRules:
            flows = catalogue.sharing(scope, None)
            if len(flows) == 1:
                return cls.of(flows[0], scope, max_bytes, catalogue)
            declarations: dict[str, str] = {}
            for flow in reversed(flows):
                declarations |= flow.declarations[scope]
            return cls(
                writer="",
                schema=SharedSchema(scope, {flow.kind: flow.schemas[scope] for flow in flows}),
                declarations=declarations,
                upgrades=RecordUpgrades.of(catalogue, scope, None),
                max_bytes=max_bytes,
                transient=not any(flow.persist_state_changes for flow in flows),
            )

        return catalogue.remembered((cls, scope, None, max_bytes), make)


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
        made = made_state(record, operations, rules, expected=expected, rehearsed=rehearsed)
        if made is None:
            return NO_CHANGE
        events = (_event(record, made.told, rules, block_path),)
        generations = rules.upgrades.written(record, rules.writer)
        return Changed(made.state, made.text, events, generations, fitting=made.fitting)

    return change


@frozen
class MadeState:
    """What operations have made of a state: its JSON text, or what of a large one has changed; what is told of the
    difference to what was stored; and what is known to fit."""

    state: JsonObject | LayeredState
    text: bytes | StatePatch
    told: Difference
    fitting: Fitting

    @property
    def whole(self) -> JsonObject:
        return self.state if isinstance(self.state, dict) else self.state.state


def made_state(
    record: StateRecord,
    operations: Sequence[Operation],
    rules: ChangeRules,
    *,
    expected: Upgraded | None = None,
    rehearsed: Rehearsed | None = None,
) -> MadeState | None:
    """What ``operations`` make of the newest record, ``None`` if that is what is stored; see :func:`state_change`."""
    if not operations:  # there is only a precondition
        return None
    rules.upgrades.require_writable(record)
    today = expected if expected is not None and expected.is_of(record) else rules.upgrades.upgraded(record)
    read = record if today.record is today.stored else today.record
    known = read.fitting
    fitting = known.fields if known is not None and known.schema is rules.schema else frozenset()
    if record.size >= LARGE_BYTES and read is record and rehearsed is None:
        made = _made_records(record, operations, rules, fitting)
        if made is not None:
            return made if made.text else None
    raw = apply(read.state, operations, rules.schema)
    if not raw.pointers and all(isinstance(operation, TESTS) for operation in operations):
        return None
    applied = (rehearsed and rehearsed.of(raw)) or checked(raw, rules.schema, fitting)
    places = places_at(record.state, applied.state, applied.pointers | today.pointers)
    if not places:
        return None
    text = checked_text(record, applied.state, rules, places)
    if isinstance(text, StatePatch):
        detach(applied.state, places)  # large states stay in memory as they were parsed
    fits = Fitting(rules.schema, fitting | applied.fields)
    return MadeState(applied.state, text, difference_of(places), fits)


def _made_records(
    record: StateRecord, operations: Sequence[Operation], rules: ChangeRules, fitting: frozenset[str]
) -> MadeState | None:
    """What operations have made of a large state of which they look at nothing but records of maps, each of which is
    judged by itself: without a look at the others. Its text is empty if that is what is stored; ``None`` if they look
    at more, or if the whole text is hardly longer than what changes of it."""
    keys = touched_records(operations)
    if not keys or not fitting.issuperset(keys) or not all(map(rules.schema.by_record, keys)):
        return None
    layers = record.layers
    before = layers.some(keys)
    if before is None:
        return None
    applied = checked(apply(before, operations, rules.schema), rules.schema, fitting)
    places = places_at(before, applied.state, applied.pointers)
    patch = patch_of(before, applied.state, record.size, places)
    if patch is None:
        return None
    _check_size(record, patch.size, rules)
    state = layers.changed(keys, applied.state)
    return MadeState(state, patch if places else b"", difference_of(places), Fitting(rules.schema, fitting))


def checked_text(
    record: StateRecord, state: JsonObject, rules: ChangeRules, places: Sequence[Place] = ()
) -> bytes | StatePatch:
    """The JSON text of what ``record`` is to hold; where it is large, what changes of it in ``places`` alone.

    Raises:
        StateTooLargeError: more than a state may have.
    """
    patch = None
    if places and record.size >= LARGE_BYTES:
        patch = patch_of(record.state, state, record.size, places)
    text = patch or encode_json(state)
    _check_size(record, text.size if isinstance(text, StatePatch) else len(text), rules)
    return text


def _check_size(record: StateRecord, size: int, rules: ChangeRules) -> None:
    if size > rules.max_bytes:
        raise StateTooLargeError(record.key.kind, size, rules.max_bytes, rules.resource)


def _event(record: StateRecord, told: Difference, rules: ChangeRules, block_path: tuple[str, ...]) -> Event:
    of_request = record.key.kind is ScopeKind.REQUEST
    declarations = rules.declarations
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
