"""Removed items: what of them, and of their requests, is kept no longer.

An item stays in its place, without its content. So its id is not used again, and no log gets a hole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from flowstate_server.model.documents import Document, DocumentKey, session_owner
from flowstate_server.model.events import EventRecord
from flowstate_server.model.frozen import frozen
from flowstate_server.model.items import Audience
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.records import Failure
from flowstate_server.model.scopes import RequestKey, SessionKey

REMOVALS = "item_removals"
"""The kind of the one document of a session that counts removals, and that all who remove items there meet at."""


class ItemKey(NamedTuple):
    """An item by its place: that of its ``item.done`` in the log of the session's incarnation ``log_id``."""

    session: SessionKey
    log_id: str
    session_sequence: int


Retold = tuple[tuple[int, bytes], ...]
"""Events by their places in the log of their session, each with the payload that it has from now on."""


@frozen
class ItemRemoval:
    """An item whose content and name go, and with it its ``deltas``: the places of its ``item.delta`` events.
    ``retold`` are the other events that have said something of it."""

    key: ItemKey
    item_id: str
    audiences: frozenset[Audience]
    request_id: str = ""
    deltas: tuple[int, ...] = ()
    retold: Retold = ()


@frozen
class EmptiedRequest:
    """An ended request whose last item was removed: its input and output go too.

    ``end`` is the place of its terminal event in the log of its session, ``payload`` what that says from now on;
    ``retold`` are other events that have said something of what goes. ``failure`` is what is left of its failure, if it
    has failed.
    """

    key: RequestKey
    session: SessionKey
    session_log_id: str
    end: int
    payload: bytes
    failure: Failure | None = None
    retold: Retold = ()


def removals_key(session: SessionKey, log_id: str) -> DocumentKey:
    return DocumentKey(session_owner(session, log_id), REMOVALS, ())


def encode_removals(number: int) -> bytes:
    return encode_json(number)


def decode_removals(document: Document | None) -> int:
    """How often items of the session were removed."""
    number = 0 if document is None else decode_json(document.text)
    return number if isinstance(number, int) else 0


def blanked(record: EventRecord, payload: bytes) -> EventRecord:
    """The event with another payload, and its item, if it has one, without content and name."""
    event = record.event
    item = None if event.item is None else replace(event.item, content=b"", name="", removed=True)
    return replace(record, event=replace(event, payload=payload, item=item))
