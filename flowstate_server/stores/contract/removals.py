"""What is left of events when items are removed, for stores that keep events whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flowstate_server.model.json_values import EMPTY_OBJECT
from flowstate_server.model.records import RequestRecord
from flowstate_server.model.removals import EmptiedRequest
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.tables import EMPTIED_REQUESTS, ITEM_REMOVALS, Changes

Places = dict[int, bytes | None]
"""By ``session_sequence``: the payload that the event has from now on, its item, if any, without content (see
:func:`~flowstate_server.model.removals.blanked`). ``None``: it goes."""


def rewritten_events(changes: Changes) -> Mapping[tuple[SessionKey, str], Places]:
    """By session and incarnation, the events that removals of items change; some may be gone already."""
    logs: dict[tuple[SessionKey, str], Places] = {}
    for item in changes.new_of(ITEM_REMOVALS):
        places = logs.setdefault(item.key[:2], {})
        places[item.key.session_sequence] = EMPTY_OBJECT
        places.update(item.retold)
        places.update(dict.fromkeys(item.deltas))
    for request in changes.new_of(EMPTIED_REQUESTS):
        places = logs.setdefault((request.session, request.session_log_id), {})
        places.update(request.retold)
        places[request.end] = request.payload
    return logs


def without_content(request: RequestRecord, emptied: EmptiedRequest) -> RequestRecord:
    """The request once it is emptied."""
    return replace(request, input=b"", output=None, failure=emptied.failure)
