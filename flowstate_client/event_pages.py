"""The events of a log in pages, as they are stored now."""

from __future__ import annotations

from collections.abc import Iterable

from flowstate.v1 import event_service_pb2, event_service_pb2_grpc
from flowstate_client.arguments import number
from flowstate_client.calls import Caller
from flowstate_client.events import Event, event_from_proto
from flowstate_client.filters import event_filter
from flowstate_client.paging import AsyncPager, Page


def event_pages(
    caller: Caller,
    *,
    request_id: str = "",
    session_id: str = "",
    types: Iterable[str],
    audience: str | None,
    page_size: int,
    page_token: str,
) -> AsyncPager[Event]:
    """The events of the log of a request, or of a session. A page token is the sequence behind which a page begins."""
    stub = event_service_pb2_grpc.EventServiceStub(caller.channels.unary)
    template = event_service_pb2.ListEventsRequest(
        filter=event_filter(types, audience), page_size=number(page_size, "page_size")
    )
    if session_id:
        template.session_id = session_id
    else:
        template.request_id = request_id

    async def fetch(token: str) -> Page[Event]:
        request = event_service_pb2.ListEventsRequest(after_sequence=_sequence(token))
        request.MergeFrom(template)
        response = await caller.read("EventService/ListEvents", stub.ListEvents, request)
        token = "" if response.end_of_log else str(response.cursor.sequence)
        log_id, of_session = response.cursor.log_id, bool(session_id)
        events = [event_from_proto(event, log_id, of_session=of_session) for event in response.events]
        return Page(events, token)

    _sequence(page_token)
    return AsyncPager(fetch, page_token=page_token)


def _sequence(page_token: str) -> int:
    if page_token and not page_token.isdecimal():
        raise ValueError("page_token must be the next_page_token of a page of events")
    return int(page_token or 0)
