"""What clients see of a change of a resource."""

from __future__ import annotations

from dataclasses import replace

from flowstate_server.model.json_values import Json
from flowstate_server.model.payloads import ResourceChange
from flowstate_server.programs.description import FlowDescription, ShownNames
from flowstate_server.programs.resources import ResourceDescription, ShownResource
from flowstate_server.schemas.known import known
from flowstate_server.state.json_pointer import parse_pointer
from flowstate_server.state.missing import MISSING, Missing

WHOLE = ""
"""The place of a state as a whole: of a computed view nobody knows which of its names a change has touched."""


def shown_change(flow: FlowDescription, change: ResourceChange) -> ResourceChange | None:
    """The change as the flow shows it, ``None`` where it shows nothing of the resource.

    Of one that is not live: name and versions. Else the exposed fields that changed, named as ``stale`` where their
    values are not to be had from the event: too large, computed, or declared otherwise at that time.
    """
    described = flow.resource_index.find(change.scope, change.name)
    if described is None or described.shown is None:
        return None
    shown = described.shown
    if not shown.live:
        return ResourceChange(
            change.scope, change.name, change.previous_version, change.version, deleted=change.deleted
        )
    told = replace(
        change,
        changed={},
        removed=(),
        stale=(),
        content_changed=change.content_changed and shown.content,
        schema="",
        stale_derived=flow.shown.get(change.scope, ShownNames()).derived,
    )
    if shown.computed:
        touched = bool(change.changed or change.removed or change.stale)
        return replace(told, stale=(WHOLE,) if touched else ())
    return _with_fields(told, change, described, shown)


def _with_fields(
    told: ResourceChange, change: ResourceChange, described: ResourceDescription, shown: ShownResource
) -> ResourceChange:
    touched = {_field(pointer) for pointer in (*change.changed, *change.removed)}
    if change.schema != described.schema.hash:
        stale = [name for name in shown.exposed if name in touched or name in change.stale]
        return replace(told, stale=stale)
    changed = {
        pointer: value
        for pointer, stored in change.changed.items()
        if (value := _known(described, shown, pointer, stored)) is not MISSING
    }
    removed = [
        pointer for pointer in change.removed if _known(described, shown, pointer, None) is not MISSING
    ]
    stale = [name for name in shown.exposed if name in change.stale]
    return replace(told, changed=changed, removed=removed, stale=stale)


def _known(described: ResourceDescription, shown: ShownResource, pointer: str, value: Json) -> Json | Missing:
    """``value`` without what the schema does not have, ``MISSING`` if it has no such place to show."""
    name, *below = parse_pointer(pointer)
    if name not in shown.exposed or not described.schema.declares(name):
        return MISSING
    return known(described.schema.shape(name), value, tuple(below))


def _field(pointer: str) -> str:
    return parse_pointer(pointer)[0]
