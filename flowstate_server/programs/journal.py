"""Notes of a session's journal as programs see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flowstate_server.model.clock import as_datetime
from flowstate_server.model.journal import JournalRecord
from flowstate_server.model.json_values import Json, decode_json


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A note as it was appended.

    ``data`` is plain JSON, ``None`` for none; ``create_time`` is UTC, by the store's clock.
    ``request_id`` is the request that it is about: that of the run which has appended it, or what a caller named.
    """

    id: str
    text: str
    source: str
    tags: Sequence[str]
    data: Json
    request_id: str
    create_time: datetime

    @classmethod
    def of(cls, record: JournalRecord) -> JournalEntry:
        note = record.note
        return cls(
            id=note.entry_id,
            text=note.text,
            source=note.source,
            tags=note.tags,
            data=None if note.data is None else decode_json(note.data),
            request_id=note.request_id,
            create_time=as_datetime(record.create_time),
        )
