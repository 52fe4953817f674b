"""What of the contract this server does not serve yet: called or set, it is refused, never ignored.

``GetServerInfoResponse.capabilities`` is made from the same tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

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
    if not _can_hold_unserved(message.DESCRIPTOR):
        return
    for field, value in message.ListFields():
        feature = f"{message.DESCRIPTOR.name}.{field.name}"
        if not OPTIONAL_FIELDS.get(feature, True):
            raise FeatureDisabledError(feature)
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if field.is_repeated else (value,):
            check_fields(part)


@cache
def _can_hold_unserved(descriptor: Descriptor) -> bool:
    return any(
        not OPTIONAL_FIELDS.get(f"{descriptor.name}.{field.name}", True)
        or (field.message_type is not None and _can_hold_unserved(field.message_type))
        for field in descriptor.fields
    )
