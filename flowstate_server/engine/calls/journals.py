"""Journals: notes to append, and pages of them."""

from __future__ import annotations

from collections.abc import Sequence

from flowstate_server.model.frozen import frozen
from flowstate_server.model.journal import JournalRecord


@frozen
class NewNote:
    """A note to append, its fields unchecked but for ``data``, which is clean JSON text (``None``: none)."""

    text: str
    source: str = ""
    tags: Sequence[str] = ()
    data: bytes | None = None
    request_id: str = ""


@frozen
class JournalAppend:
    """Notes that are appended all or not at all. ``fingerprint`` is that of the message as sent."""

    session_id: str
    notes: Sequence[NewNote]
    idempotency_key: str = ""
    fingerprint: str = ""


@frozen
class JournalAppended:
    """The entries; only their ids when ``replayed``."""

    entries: Sequence[JournalRecord]
    replayed: bool


@frozen
class JournalQuery:
    """Which page of a journal to list; ``page_size`` as sent (0: default)."""

    session_id: str
    newest_first: bool = False
    page_size: int = 0
    page_token: str = ""


@frozen
class JournalPage:
    entries: Sequence[JournalRecord]
    next_page_token: str
