"""For whom events and items are."""

from __future__ import annotations

from flowstate.v1.types_pb2 import (
    AUDIENCE_CLIENT,
    AUDIENCE_HISTORY,
    AUDIENCE_INTERNAL,
    AUDIENCE_UNSPECIFIED,
    Audience as WireAudience,
)
from flowstate_server.model.items import Audience
from flowstate_server.rpc.message_fields import invalid

_AUDIENCES = {
    AUDIENCE_UNSPECIFIED: None,
    AUDIENCE_CLIENT: Audience.CLIENT,
    AUDIENCE_HISTORY: Audience.HISTORY,
    AUDIENCE_INTERNAL: Audience.INTERNAL,
}


def decode_audience(audience: WireAudience.ValueType, path: str) -> Audience | None:
    """The audience asked for; ``None`` for all that the caller may see."""
    if audience not in _AUDIENCES:
        raise invalid(path, "enum", "must be an audience")
    return _AUDIENCES[audience]
