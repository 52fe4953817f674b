"""Parts of messages that not every release of the server knows: it would ignore them in silence."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

OPTIONAL_FIELDS = frozenset(
    {
        "CommitStateRequest.validate_only",
        "DispatchActionRequest.validate_only",
        "GetStateRequest.paths",
        "ListEventsRequest.filter",
        "ListEventsRequest.session_id",
        "ListSessionsRequest.active_after",
        "ListSessionsRequest.include_total",
        "ListSessionsRequest.metadata",
        "ListSessionsRequest.org_id",
        "ListSessionsRequest.tags",
        "Precondition.incarnation",
        "ScopeRef.isolated",
        "StateMutation.resource",
        "StateOp.test",
        "StreamActionRequest.filter",
        "TailEventsRequest.filter",
        "TailEventsRequest.session_id",
    }
)
"""As ``Message.field``, the names that a server tells in its capabilities."""


def optional_fields(message: Message) -> Sequence[str]:
    """Those that are set anywhere in ``message``."""
    return sorted(_set_in(message)) if _watched_in(message.DESCRIPTOR).any else ()


class _Watched(NamedTuple):
    fields: dict[str, str]
    inside: frozenset[str]

    @property
    def any(self) -> bool:
        return bool(self.fields or self.inside)


def _set_in(message: Message) -> set[str]:
    fields, inside = _watched_in(message.DESCRIPTOR)
    found = set()
    for field, value in message.ListFields():
        if field.name in fields:
            found.add(fields[field.name])
        if field.name in inside:
            for part in value if field.is_repeated else (value,):
                found |= _set_in(part)
    return found


@cache
def _watched_in(descriptor: Descriptor) -> _Watched:
    fields, inside = {}, set()
    for field in descriptor.fields:
        name = f"{descriptor.name}.{field.name}"
        if name in OPTIONAL_FIELDS:
            fields[field.name] = name
        kind = field.message_type
        if kind is not None and not kind.GetOptions().map_entry and _watched_in(kind).any:
            inside.add(field.name)
    return _Watched(fields, frozenset(inside))
