"""What lists and streams are narrowed by, as messages have it."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate.v1 import event_service_pb2, flow_service_pb2, types_pb2
from flowstate_client.models import RequestStatus

_AUDIENCES = {
    None: types_pb2.AUDIENCE_UNSPECIFIED,
    "client": types_pb2.AUDIENCE_CLIENT,
    "internal": types_pb2.AUDIENCE_INTERNAL,
    "history": types_pb2.AUDIENCE_HISTORY,
}


def event_filter(types: Iterable[str], audience: str | None) -> event_service_pb2.EventFilter | None:
    """The filter to ask the server for, if any.

    Raises:
        ValueError: there is no such audience.
    """
    named = (types,) if isinstance(types, str) else tuple(types)
    if not named and audience is None:
        return None
    return event_service_pb2.EventFilter(types=named, audience=audience_number(audience))


def audience_number(name: str | None) -> types_pb2.Audience.ValueType:
    """The audience of that name; ``None`` stands for all that the caller may see.

    Raises:
        ValueError: there is no such audience.
    """
    if name not in _AUDIENCES:
        raise ValueError(f"an audience is client, internal or history, not {name!r}")
    return _AUDIENCES[name]


def status_number(status: RequestStatus | str) -> flow_service_pb2.ActionRequestStatus.ValueType:
    """The status on the wire.

    Raises:
        ValueError: there is none such.
    """
    known = RequestStatus(status)
    if known is RequestStatus.UNKNOWN:
        raise ValueError("an unknown status is none to ask for")
    return flow_service_pb2.ActionRequestStatus.Value(f"ACTION_REQUEST_STATUS_{known.name}")
