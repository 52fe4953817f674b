"""What lists and streams are narrowed by, as messages have it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from flowstate.v1 import event_service_pb2, flow_service_pb2, types_pb2
from flowstate_client.arguments import one_or_more, texts
from flowstate_client.models import RequestStatus

EVENT_TYPES = (
    *("request.created", "request.queued", "request.in_progress"),
    *("request.completed", "request.failed", "request.aborted", "request.interrupted"),
    *("block.started", "block.completed", "block.failed", "router.decided", "model.usage"),
    *("item.added", "item.delta", "item.done", "item.removed"),
    *("state_change", "resource_change", "session.metadata_changed", "status", "custom"),
)
"""The types of events that this version knows."""

_logger = logging.getLogger("flowstate_client")

_AUDIENCES = {
    None: types_pb2.AUDIENCE_UNSPECIFIED,
    "client": types_pb2.AUDIENCE_CLIENT,
    "internal": types_pb2.AUDIENCE_INTERNAL,
    "history": types_pb2.AUDIENCE_HISTORY,
}


def event_filter(types: Iterable[str], audience: str | None) -> event_service_pb2.EventFilter | None:
    """The filter to ask the server for, if any. A type that is not known here may be one of a newer server, or a
    mistake that would wait for ever: the log is told.

    Raises:
        TypeError: ``types`` are no texts.
        ValueError: there is no such audience.
    """
    named = one_or_more(types, "types")
    for name in named:
        if name not in EVENT_TYPES:
            _logger.warning("%s", unknown_event_type(name))
    if not named and audience is None:
        return None
    return event_service_pb2.EventFilter(types=named, audience=audience_number(audience))


def unknown_event_type(name: str) -> str:
    """What is said of a type that is none of :data:`EVENT_TYPES`."""
    close = get_close_matches(name, EVENT_TYPES, 1)
    hint = f"; did you mean {close[0]!r}?" if close else "; a flow's own events are of the type 'custom'"
    return f"no event type {name!r} is known to this client{hint}"


def audience_number(name: str | None) -> types_pb2.Audience.ValueType:
    """The audience of that name; ``None`` stands for all that the caller may see.

    Raises:
        ValueError: there is no such audience.
    """
    if name not in _AUDIENCES:
        raise ValueError(f"an audience is client, internal or history, not {name!r}")
    return _AUDIENCES[name]


def item_audiences(names: Iterable[str]) -> Sequence[types_pb2.Audience.ValueType]:
    """For whom an item is to be; nothing stands for the trusted plane alone.

    Raises:
        TypeError: it is no list of texts.
        ValueError: there is no such audience for an item.
    """
    given = texts(names, "audiences")
    for name in given:
        if name not in ("client", "history"):
            raise ValueError(f"audiences takes client, history or both, not {name!r}")
    return [_AUDIENCES[str(name)] for name in given]


def status_numbers(
    statuses: RequestStatus | str | Iterable[RequestStatus | str],
) -> Sequence[flow_service_pb2.ActionRequestStatus.ValueType]:
    """The statuses on the wire.

    Raises:
        TypeError: it is neither a status nor a list of them.
        ValueError: there is none such.
    """
    return [status_number(status) for status in one_or_more(statuses, "statuses")]


def status_number(status: RequestStatus | str) -> flow_service_pb2.ActionRequestStatus.ValueType:
    """The status on the wire.

    Raises:
        ValueError: there is none such.
    """
    known = RequestStatus(status)
    if known is RequestStatus.UNKNOWN:
        raise ValueError("an unknown status is none to ask for")
    return flow_service_pb2.ActionRequestStatus.Value(f"ACTION_REQUEST_STATUS_{known.name}")
