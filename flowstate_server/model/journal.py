"""The journal of a session: append-only notes, a document each."""

from __future__ import annotations

from typing import Any, cast

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import Document, DocumentKey, DocumentRange, ordered, session_owner
from flowstate_server.model.frozen import frozen
from flowstate_server.model.json_values import decode_json, encode_json
from flowstate_server.model.scopes import SessionKey

ENTRY = "journal_entry"
"""The kind of an entry. Its name is its number in the journal, from 1 on, as text that sorts like it."""
COUNTER = "journal"
"""The kind of the one document that says how many entries there are, and that all who append meet at."""


@frozen
class Note:
    """What is noted. ``data`` is JSON text, ``None`` for none; ``request_id`` names the request that it is about."""

    entry_id: str
    text: str
    source: str = ""
    tags: tuple[str, ...] = ()
    data: bytes | None = None
    request_id: str = ""


@frozen
class JournalRecord:
    """A note in its place: ``number`` counts from 1 without a hole, in the order of commits."""

    note: Note
    number: int
    create_time: Micros


def counter_key(session: SessionKey, log_id: str) -> DocumentKey:
    return DocumentKey(session_owner(session, log_id), COUNTER, ())


def entry_key(session: SessionKey, log_id: str, number: int) -> DocumentKey:
    return DocumentKey(session_owner(session, log_id), ENTRY, (ordered(number),))


def entry_number(key: DocumentKey) -> int:
    return int(key.name[0], 16)


def journal_range(
    session: SessionKey, log_id: str, *, limit: int, newest_first: bool = False, beyond: int | None = None
) -> DocumentRange:
    """The first or newest entries, from beyond the entry numbered ``beyond``."""
    name = None if beyond is None else (ordered(beyond),)
    return DocumentRange(session_owner(session, log_id), ENTRY, limit, descending=newest_first, beyond=name)


def encode_count(number: int) -> bytes:
    """The text of the counter."""
    return encode_json(number)


def decode_count(document: Document | None) -> int:
    """How many entries there are, by the counter."""
    return 0 if document is None else cast(int, decode_json(document.text))


def encode_note(note: Note) -> bytes:
    data = None if note.data is None else note.data.decode()
    return encode_json([note.entry_id, note.text, note.source, list(note.tags), data, note.request_id])


def decode_entry(document: Document) -> JournalRecord:
    """
    Raises:
        ValueError, TypeError: the document is no entry.
    """
    entry_id, text, source, tags, data, request_id = cast("list[Any]", decode_json(document.text))
    note = Note(entry_id, text, source, tuple(tags), None if data is None else data.encode(), request_id)
    return JournalRecord(note, entry_number(document.key), document.create_time)
