"""What a plane may see of an event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from flowstate_server.flows.client_view import ClientView
from flowstate_server.flows.flow import Flow
from flowstate_server.model.events import EventRecord, EventType
from flowstate_server.model.identity import Plane
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import Json, JsonObject, decode_json, encode_json
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.state.json_pointer import parse_pointer


class EventProjector:
    """Shows events of one flow as one plane may see them.

    The trusted plane sees everything. The client plane sees events meant for clients, without block paths, and state
    changes as the flow's client views allow: exposed values, the bare names of derived ones, nothing else. Without a
    registered flow no state change is shown.
    """

    def __init__(self, plane: Plane, flow: Flow | None) -> None:
        self._plane = plane
        self._flow = flow

    def visible(self, events: Iterable[EventRecord]) -> list[EventRecord]:
        if self._plane is Plane.TRUSTED:
            return list(events)
        return [seen for record in events if (seen := self._for_client(record)) is not None]

    def _for_client(self, record: EventRecord) -> EventRecord | None:
        event = record.event
        if Audience.CLIENT not in event.audiences:
            return None
        if event.type is EventType.STATE_CHANGE:
            payload = self._state_change(cast(JsonObject, decode_json(event.payload)))
            if payload is None:
                return None
            event = replace(event, payload=encode_json(payload))
        if event.block_path:
            event = replace(event, block_path=())
        return record if event is record.event else replace(record, event=event)

    def _state_change(self, payload: JsonObject) -> JsonObject | None:
        view = self._view(ScopeKind(cast(str, payload["scope"])))
        if view is None:
            return None
        exposed = frozenset(view.expose)
        changed = cast("dict[str, Json]", payload["changed"])
        shown = {pointer: value for pointer, value in changed.items() if _field(pointer) in exposed}
        removed = [path for path in cast("list[str]", payload["removed"]) if _field(path) in exposed]
        stale = [name for name in cast("list[str]", payload["stale"]) if name in exposed]
        stale += view.derived
        if not (shown or removed or stale):
            return None
        return {
            **payload,
            "changed": shown,
            "removed": cast("list[Json]", removed),
            "stale": cast("list[Json]", stale),
        }

    def _view(self, scope: ScopeKind) -> ClientView | None:
        return None if self._flow is None else self._flow.client_views.get(scope)


def _field(pointer: str) -> str:
    return parse_pointer(pointer)[0]
