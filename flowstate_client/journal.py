"""Journals: append-only notes about a session. Trusted plane only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flowstate.v1 import journal_service_pb2, journal_service_pb2_grpc
from flowstate_client.arguments import identifier, instances, labels, number, optional_id, texts
from flowstate_client.calls import Caller
from flowstate_client.codec import Codec
from flowstate_client.errors import ProtocolError
from flowstate_client.ids import idempotency_key_of
from flowstate_client.json_profile import check_text
from flowstate_client.models import plain_time, plain_value
from flowstate_client.paging import AsyncPager, Page
from flowstate_client.proof import proven_text


@dataclass(frozen=True, slots=True)
class JournalNote:
    """A note to append.

    Attributes:
        text: The note. No U+0000.
        source: Who notes it; up to 128 bytes without control characters.
        tags: Labels, up to 64 of 1 to 128 bytes without control characters.
        data: Whatever is JSON; ``None`` for none. With the text up to 1 MiB.
        request_id: The request that it is about, which need not exist.
    """

    text: str
    source: str = ""
    tags: Sequence[str] = ()
    data: Any = None
    request_id: str = ""

    def to_proto(self, codec: Codec) -> journal_service_pb2.JournalEntry:
        """The note as a ``flowstate.v1.JournalEntry``.

        Raises:
            TypeError: a field has the wrong type.
            ValueError: a field is not as said above, or ``data`` cannot be sent.
        """
        entry = journal_service_pb2.JournalEntry(
            text=_note(self.text),
            source=optional_id(self.source, "source"),
            tags=labels(self.tags, "tags"),
            request_id=optional_id(self.request_id, "request_id"),
        )
        if self.data is not None:
            entry.data.json = proven_text(self.data, codec)
        return entry


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A note in a journal, with its id and the time at which it was appended. ``data`` is plain JSON."""

    id: str
    text: str
    source: str
    tags: tuple[str, ...]
    data: Any
    request_id: str
    create_time: datetime | None

    @classmethod
    def from_proto(cls, entry: journal_service_pb2.JournalEntry) -> JournalEntry:
        """The entry of a ``flowstate.v1.JournalEntry``."""
        return cls(
            id=entry.entry_id,
            text=entry.text,
            source=entry.source,
            tags=tuple(entry.tags),
            data=plain_value(entry.data),
            request_id=entry.request_id,
            create_time=plain_time(entry, "create_time"),
        )


class Journals:
    """``client.journal``: what flows and your services note about sessions."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stub = journal_service_pb2_grpc.JournalServiceStub(caller.channels.unary)

    async def append(
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
        note = JournalNote(text, source, texts(tags, "tags"), data, request_id)
        [entry] = await self.append_all(session_id, [note], idempotency_key=idempotency_key, timeout=timeout)
        return entry

    async def append_all(
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
        sent = [note.to_proto(self._caller.codec) for note in instances(notes, JournalNote, "notes")]
        request = journal_service_pb2.AppendJournalRequest(
            session_id=identifier(session_id, "session_id"),
            entries=sent,
            idempotency_key=idempotency_key_of(idempotency_key),
        )
        method = "JournalService/AppendJournal"
        response = await self._caller.write(method, self._stub.AppendJournal, request, timeout=timeout)
        if len(response.entries) != len(sent):
            raise ProtocolError(f"appended {len(sent)} entries, got {len(response.entries)}")
        if not response.replayed:
            return [JournalEntry.from_proto(entry) for entry in response.entries]
        # The answer holds no more than the ids, and the content is that of the first time.
        return [
            replace(JournalEntry.from_proto(note), id=entry.entry_id)
            for note, entry in zip(sent, response.entries, strict=True)
        ]

    def list(
        self, session_id: str, *, newest_first: bool = False, page_size: int = 0, page_token: str = ""
    ) -> AsyncPager[JournalEntry]:
        """The notes in the order in which they were appended, or the other way round.

        Stays right while notes are added: ``newest_first`` never shows those that came later, the other order comes
        to them in the end.

        Args:
            page_size: 0: the server's 50; at most 500.
        """
        identifier(session_id, "session_id")
        number(page_size, "page_size")

        async def fetch(token: str) -> Page[JournalEntry]:
            request = journal_service_pb2.ListJournalRequest(
                session_id=session_id,
                newest_first=newest_first,
                page_size=page_size,
                page_token=token,
            )
            response = await self._caller.read("JournalService/ListJournal", self._stub.ListJournal, request)
            entries = [JournalEntry.from_proto(entry) for entry in response.entries]
            return Page(entries, response.next_page_token)

        return AsyncPager(fetch, page_token=page_token)


def _note(text: str) -> str:
    if "\0" in check_text(text, "text"):
        raise ValueError("text must have no U+0000")
    return text
