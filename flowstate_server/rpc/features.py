"""Fields of the contract that this server does not serve yet: set, they are refused, never ignored.

``GetServerInfoResponse.capabilities`` is made from the same table and that of the methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from flowstate_server.errors import FeatureDisabledError
from flowstate_server.rpc.methods import OWN_METHODS

OPTIONAL_FIELDS: Mapping[str, bool] = {
    "DispatchActionRequest.validate_only": True,
    "StreamActionRequest.filter": True,
    "ListEventsRequest.session_id": True,
    "ListEventsRequest.filter": True,
    "TailEventsRequest.session_id": True,
    "TailEventsRequest.filter": True,
    "ListSessionsRequest.org_id": True,
    "ListSessionsRequest.metadata": True,
    "ListSessionsRequest.tags": True,
    "ListSessionsRequest.active_after": True,
    "ListSessionsRequest.include_total": True,
    "GetStateRequest.paths": True,
    "CommitStateRequest.validate_only": True,
    "StateMutation.resource": True,
    "StateOp.test": True,
    "Precondition.incarnation": True,
    "ScopeRef.isolated": True,
}
"""Fields and oneof cases that not every release serves, as ``Message.field``, and whether this one does."""


def capabilities() -> Sequence[str]:
    """The served methods and the served optional fields, by name."""
    served = [name for name, method in OWN_METHODS.items() if method.served]
    return sorted(served) + sorted(name for name, is_served in OPTIONAL_FIELDS.items() if is_served)


def check_fields(message: Message) -> None:
    """Raises ``FeatureDisabledError`` if an unserved field is set anywhere in ``message``."""
    _check(message, _watched_in(message.DESCRIPTOR))


class _Watched(NamedTuple):
    """Fields that are not served, and fields that hold messages with such fields, each by whether one can tell that it
    is set."""

    unserved: list[tuple[str, str]]
    unserved_if_present: list[tuple[str, str]]
    repeated: list[tuple[str, _Watched]]
    single: list[tuple[str, _Watched]]


def _check(message: Message, watched: _Watched) -> None:
    unserved, unserved_if_present, repeated, single = watched
    for name, feature in unserved:
        if getattr(message, name):
            raise FeatureDisabledError(feature)
    for name, feature in unserved_if_present:
        if message.HasField(name):
            raise FeatureDisabledError(feature)
    for name, inside in repeated:
        for part in getattr(message, name):
            _check(part, inside)
    for name, inside in single:
        if message.HasField(name):
            _check(getattr(message, name), inside)


@cache
def _watched_in(descriptor: Descriptor) -> _Watched:
    watched = _Watched([], [], [], [])
    for field in descriptor.fields:
        feature = f"{descriptor.name}.{field.name}"
        if not OPTIONAL_FIELDS.get(feature, True):
            unserved = watched.unserved_if_present if field.has_presence else watched.unserved
            unserved.append((field.name, feature))
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            inside = _watched_in(field.message_type)
            if any(inside):
                (watched.single if field.has_presence else watched.repeated).append((field.name, inside))
    return watched
