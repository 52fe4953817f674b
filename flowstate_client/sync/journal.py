"""Journals: append-only notes about a session. Trusted plane only."""

# Written by .ci/codegen/sync_client.py from flowstate_client/journal.py: `make sync-client`.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowstate_client import journal as asynchronous
from flowstate_client.journal import JournalEntry, JournalNote
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.paging import Pager


class Journals:
    """``client.journal``: what flows and your services note about sessions."""

    def __init__(self, thread: LoopThread, journals: asynchronous.Journals) -> None:
        self._thread = thread
        self._journals = journals

    def append(
        self,
        session_id: str,
        text: str,
        *,
        source: str = "",
        tags: Iterable[str] = (),
        data: Any = None,
        request_id: str = "",
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> JournalEntry:
        """Appends one note, exactly once however often the call has to be repeated; see :meth:`append_all`."""
        return self._thread.run(
            self._journals.append(
                session_id,
                text,
                source=source,
                tags=tags,
                data=data,
                request_id=request_id,
                idempotency_key=idempotency_key,
                timeout=timeout,
            )
        )

    def append_all(
        self,
        session_id: str,
        notes: Iterable[JournalNote],
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Sequence[JournalEntry]:
        """Appends up to 100 notes in order, without another between them, or none; 3.5 MiB in all.

        With an ``idempotency_key`` of your own, a second call with the same content appends nothing and gives the
        entries of the first, for 24 hours and from whatever process; of these ``create_time`` is ``None``.

        Raises:
            IdempotencyKeyReused: the key was used for other content.
            SessionNotFound: no such session for this caller.
            TooLarge: a note, or all of them together.
            ValidationFailed: too many notes, or one that is not as :class:`JournalNote` says.
            ValueError: no note, or one that cannot be sent.
        """
        return self._thread.run(
            self._journals.append_all(session_id, notes, idempotency_key=idempotency_key, timeout=timeout)
        )

    def list(
        self, session_id: str, *, newest_first: bool = False, page_size: int = 0, page_token: str = ""
    ) -> Pager[JournalEntry]:
        """The notes in the order in which they were appended, or the other way round.

        Stays right while notes are added: ``newest_first`` never shows those that came later, the other order comes
        to them in the end.

        Args:
            page_size: 0: the server's 50; at most 500.
        """
        return Pager(
            self._thread,
            self._journals.list(
                session_id, newest_first=newest_first, page_size=page_size, page_token=page_token
            ),
        )
