"""The events of a request as each plane sees them."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate.v1.event_service_pb2 import TailEventsRequest
from flowstate.v1.events_pb2 import Event
from flowstate.v1.types_pb2 import (
    AUDIENCE_CLIENT,
)
from tests.support.frames import check_frames
from tests.support.hosted import Hosted
from tests.support.wire import TRUSTED, read_all

Row = tuple[str, int, bool]
"""Type, audience and whether transient."""


async def both(server: Hosted, request_id: str = "r1") -> tuple[list[Event], list[Event]]:
    request = TailEventsRequest(request_id=request_id)
    client = check_frames(await read_all(server.events.TailEvents(request)))
    trusted = check_frames(await read_all(server.events.TailEvents(request, metadata=TRUSTED)))
    shown = {event.sequence for event in client}
    assert [event.sequence for event in trusted] == list(range(1, len(trusted) + 1)), "a hole in the log"
    assert not any(event.block_path for event in client)
    for event in trusted:
        if event.sequence in shown:
            continue
        assert event.audience != AUDIENCE_CLIENT or event.type == "state_change"
    return client, trusted


def rows(events: Sequence[Event], *kinds: str) -> list[Row]:
    return [
        (event.type, event.audience, event.transient)
        for event in events
        if not kinds or event.type.startswith(kinds)
    ]
