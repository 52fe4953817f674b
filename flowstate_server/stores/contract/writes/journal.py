"""Writes of journals."""

from __future__ import annotations

from flowstate_server.model.frozen import frozen
from flowstate_server.model.journal import Note
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.writes.batches import Write


@frozen
class AppendJournal(Write):
    """Append notes to the journal of a session's incarnation ``log_id``, in order.

    Refused with ``SessionNotFoundError`` unless the session lives, with :class:`SessionChanged` unless it is that
    incarnation. The result's ``ids`` are those of the entries, its ``documents`` the entries, which
    ``model.journal.decode_entry`` reads; its ``version`` is the number of the last.
    """

    session: SessionKey
    log_id: str
    notes: tuple[Note, ...]
