"""Lists of items and of requests."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience, ItemRecord
from flowstate_server.model.records import RequestRecord, RequestStatus


@frozen
class ItemQuery:
    """Which page of a session's items: of all, of ``request_id``, or of the ``last_turns`` newest turns (0: not by
    turns). ``page_size`` as sent (0: default)."""

    session_id: str
    request_id: str = ""
    last_turns: int = 0
    audience: Audience | None = None
    newest_first: bool = False
    page_size: int = 0
    page_token: str = ""


@frozen
class ItemList:
    items: Sequence[ItemRecord]
    next_page_token: str


@frozen
class RequestQuery:
    """Which requests to list; empty parts do not filter. ``page_size`` as sent (0: default)."""

    session_id: str = ""
    flow_kind: str = ""
    action: str = ""
    user_id: str = ""
    org_id: str = ""
    statuses: frozenset[RequestStatus] = frozenset()
    with_payloads: bool = False
    page_size: int = 0
    page_token: str = ""


@frozen
class RequestList:
    """``with_payloads``: inputs and outputs are there as far as there are any."""

    requests: Sequence[RequestRecord]
    next_page_token: str
