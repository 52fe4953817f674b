"""What of the contract this server does not serve yet: called or set, it is refused, never ignored.

``GetServerInfoResponse.capabilities`` is made from the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from flowstate_server.errors import FeatureDisabledError
from flowstate_server.rpc.services import methods

UNSERVED_METHODS = frozenset(
    (
        "FlowService/ListActionRequests",
        "SessionService/ResolveSession",
        "SessionService/UpdateSession",
        "SessionService/DeleteSession",
        "SessionService/ListItems",
        "SessionService/WatchSnapshot",
        "StateService/DeleteState",
        "ResourceService/GetResource",
        "ResourceService/ListResources",
        "ResourceService/PutResource",
        "ResourceService/WriteContent",
        "ResourceService/ReadContent",
        "ResourceService/DeleteResource",
        "JournalService/AppendJournal",
        "JournalService/ListJournal",
    )
)

OPTIONAL_FIELDS: Mapping[str, bool] = {
    "DispatchActionRequest.validate_only": False,
    "StreamActionRequest.filter": False,
    "ListEventsRequest.session_id": False,
    "ListEventsRequest.filter": False,
    "TailEventsRequest.session_id": False,
    "TailEventsRequest.filter": False,
    "ListSessionsRequest.org_id": False,
    "ListSessionsRequest.metadata": False,
    "ListSessionsRequest.tags": False,
    "ListSessionsRequest.active_after": False,
    "ListSessionsRequest.include_total": False,
    "GetStateRequest.paths": False,
    "CommitStateRequest.validate_only": False,
    "StateOp.test": False,
    "ScopeRef.isolated": False,
}
"""Fields and oneof cases that not every release serves, as ``Message.field``, and whether this one does."""


def capabilities() -> Sequence[str]:
    """The served methods and the served optional fields, by name."""
    served = {name for name, _ in methods()} - UNSERVED_METHODS
    return sorted(served) + sorted(name for name, is_served in OPTIONAL_FIELDS.items() if is_served)


def check_method(method: str) -> None:
    if method in UNSERVED_METHODS:
        raise FeatureDisabledError(method)


def check_fields(message: Message) -> None:
    """Raises ``FeatureDisabledError`` if an unserved field is set anywhere in ``message``."""
    _check(message, _watched_in(message.DESCRIPTOR))


class _Watched(NamedTuple):
    """A field that is not served (``feature`` names it), or that holds messages with such fields."""

    name: str
    has_presence: bool
    feature: str
    inside: tuple[_Watched, ...]


def _check(message: Message, fields: tuple[_Watched, ...]) -> None:
    for name, has_presence, feature, inside in fields:
        if has_presence and not message.HasField(name):
            continue
        value = getattr(message, name)
        if feature:
            if has_presence or value:
                raise FeatureDisabledError(feature)
        else:
            for part in (value,) if has_presence else value:
                _check(part, inside)


@cache
def _watched_in(descriptor: Descriptor) -> tuple[_Watched, ...]:
    watched = []
    for field in descriptor.fields:
        feature = f"{descriptor.name}.{field.name}"
        if not OPTIONAL_FIELDS.get(feature, True):
            watched.append(_Watched(field.name, field.has_presence, feature, ()))
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            inside = _watched_in(field.message_type)
            if inside:
                watched.append(_Watched(field.name, field.has_presence, "", inside))
    return tuple(watched)
