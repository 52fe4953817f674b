"""What a plane may see of an event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flowstate_server.engine.calls.logs import EVERYTHING, EventFilter
from flowstate_server.engine.logs.resource_changes import shown_change
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.identity import Plane
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import Json
from flowstate_server.model.payloads import ResourceChange, StateChange
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.description import FlowDescription, ShownNames
from flowstate_server.schemas.known import known
from flowstate_server.state.json_pointer import parse_pointer
from flowstate_server.state.missing import MISSING, Missing

_PROJECTED = (EventType.STATE_CHANGE, EventType.RESOURCE_CHANGE)


class EventProjector:
    """Shows events of one flow as one plane may see them.

    The trusted plane sees everything. The client plane sees events meant for clients, without block paths, and state
    changes as the flow shows them: exposed values, the bare names of derived ones and of fields that the flow of that
    time declared in another way, nothing else; changes of resources likewise. Without a registered flow none is shown,
    and nobody can tell which would be: those are ``unknown``. Of all this a ``filter`` leaves what it passes.
    """

    def __init__(self, plane: Plane, flow: FlowDescription | None, filter: EventFilter = EVERYTHING) -> None:
        self._plane = plane
        self._flow = flow
        self._filter = None if filter == EVERYTHING else filter
        self.sight = (plane, id(flow), filter)
        """Whoever has the same shows the same, while both are there."""

    def visible(self, events: Iterable[EventRecord]) -> list[EventRecord]:
        if self._filter is not None:
            events = [record for record in events if self._filter.passes(record.event)]
        if self._plane is Plane.TRUSTED:
            return list(events)
        return [seen for record in events if (seen := self._for_client(record)) is not None]

    def unknown(self, events: Iterable[EventRecord]) -> list[EventRecord]:
        """Of those that :meth:`visible` leaves out, the changes of which a server with the flow might show something.

        They must not pass in silence: whoever shows a state by its changes would not learn that it is old.
        """
        if self._plane is Plane.TRUSTED or self._flow is not None:
            return []
        return [
            record
            for record in events
            if record.event.type in _PROJECTED
            and Audience.CLIENT in record.event.audiences
            and (self._filter is None or self._filter.passes(record.event))
        ]

    def _for_client(self, record: EventRecord) -> EventRecord | None:
        event = record.event
        if Audience.CLIENT not in event.audiences:
            return None
        if event.type is EventType.STATE_CHANGE:
            shown = self._state_change(StateChange.decode(event.payload))
            if shown is None:
                return None
            event = replace(event, payload=shown.encode())
        elif event.type is EventType.RESOURCE_CHANGE:
            told = (
                None if self._flow is None else shown_change(self._flow, ResourceChange.decode(event.payload))
            )
            if told is None:
                return None
            event = replace(event, payload=told.encode())
        if event.block_path:
            event = replace(event, block_path=())
        return record if event is record.event else replace(record, event=event)

    def _state_change(self, change: StateChange) -> StateChange | None:
        names = self._shown(change.scope)
        if names is None or self._flow is None:
            return None
        declared = self._flow.declarations[change.scope]
        told = frozenset(
            name for name in names.exposed if declared.get(name, "") == change.declared.get(name)
        )
        changed = {
            pointer: value
            for pointer, stored in change.changed.items()
            if (value := self._known(change.scope, pointer, stored, told)) is not MISSING
        }
        removed = [
            pointer
            for pointer in change.removed
            if self._known(change.scope, pointer, None, told) is not MISSING
        ]
        touched = {_field(pointer) for pointer in (*change.changed, *change.removed)} - told
        stale = [name for name in names.exposed if name in touched or name in change.stale]
        stale += names.derived
        if not (changed or removed or stale):
            return None
        return replace(change, changed=changed, removed=removed, stale=stale)

    def _known(self, scope: ScopeKind, pointer: str, value: Json, told: frozenset[str]) -> Json | Missing:
        """``value`` without what today's schema does not have, ``MISSING`` if it has no such place to show."""
        name, *below = parse_pointer(pointer)
        schema = None if self._flow is None else self._flow.schemas[scope]
        if name not in told or schema is None:
            return MISSING
        return known(schema.shape(name), value, tuple(below)) if schema.declares(name) else MISSING

    def _shown(self, scope: ScopeKind) -> ShownNames | None:
        return None if self._flow is None else self._flow.shown.get(scope)


def _field(pointer: str) -> str:
    return parse_pointer(pointer)[0]
