"""Writes of documents. Most kinds need no write of their own: what they need in a commit is said by these."""

from __future__ import annotations

from flowstate_server.model.clock import Micros
from flowstate_server.model.documents import DocumentKey
from flowstate_server.model.frozen import frozen
from flowstate_server.model.journal import Note
from flowstate_server.model.scopes import SessionKey
from flowstate_server.stores.contract.writes import Precondition, Write


@frozen
class PutDocument(Write):
    """Create a document or replace its text (JSON); equal text and lifetime change nothing.

    ``precondition`` failing: ``VersionMismatchError``. ``incarnation``, if given, must be that of the document (else
    ``VersionMismatchError``). The document expires ``lifetime`` after the commit; 0: never.

    A session's document needs its live session, of the owner's incarnation (``SessionNotFoundError``,
    :class:`SessionChanged`), a request's its open request (``RequestNotFoundError``, ``RequestTerminalError``), one
    of a user or org that names an incarnation its record (``ScopeUnavailableError``).
    """

    key: DocumentKey
    text: bytes
    precondition: Precondition | None = None
    incarnation: str = ""
    lifetime: Micros = Micros(0)


@frozen
class DeleteDocument(Write):
    """Delete a document; no change if it is not there. Preconditions and owners as for :class:`PutDocument`.

    Its tombstone is kept for ``remembered`` after the commit, and a document made anew within that time continues its
    version; 0: nothing is kept, and one that is made anew begins with version 1.
    """

    key: DocumentKey
    precondition: Precondition | None = None
    incarnation: str = ""
    remembered: Micros = Micros(0)


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
