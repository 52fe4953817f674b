"""Journals."""

from __future__ import annotations

from flowstate.v1 import journal_service_pb2 as pb
from flowstate_server.engine.calls.journals import (
    JournalAppend,
    JournalAppended,
    JournalPage,
    JournalQuery,
    NewNote,
)
from flowstate_server.errors import MessageTooLargeError
from flowstate_server.model.journal import JournalRecord
from flowstate_server.model.json_values import encode_json
from flowstate_server.rpc.codec.time import encode_time
from flowstate_server.rpc.fingerprints import fingerprint
from flowstate_server.rpc.json_values import decode_value, encode_text
from flowstate_server.rpc.message_fields import MAX_DOCUMENT_REPLY


def decode_append(request: pb.AppendJournalRequest) -> JournalAppend:
    """
    Raises:
        MessageTooLargeError: the answer, which repeats the entries, could not be sent.
    """
    size = request.ByteSize()
    if size > MAX_DOCUMENT_REPLY:
        raise MessageTooLargeError("The message", size, MAX_DOCUMENT_REPLY)
    return JournalAppend(
        session_id=request.session_id,
        notes=[_decode_note(entry, f"entries[{place}]") for place, entry in enumerate(request.entries)],
        idempotency_key=request.idempotency_key,
        fingerprint=fingerprint(request) if request.idempotency_key else "",
    )


def _decode_note(entry: pb.JournalEntry, path: str) -> NewNote:
    has_data = entry.data.WhichOneof("encoding") is not None
    return NewNote(
        text=entry.text,
        source=entry.source,
        tags=tuple(entry.tags),
        data=encode_json(decode_value(entry.data, f"{path}.data")) if has_data else None,
        request_id=entry.request_id,
    )


def decode_journal_query(request: pb.ListJournalRequest) -> JournalQuery:
    return JournalQuery(
        session_id=request.session_id,
        newest_first=request.newest_first,
        page_size=request.page_size,
        page_token=request.page_token,
    )


def encode_appended(appended: JournalAppended) -> pb.AppendJournalResponse:
    entries = [encode_entry(entry) for entry in appended.entries]
    return pb.AppendJournalResponse(entries=entries, replayed=appended.replayed)


def encode_journal_page(page: JournalPage) -> pb.ListJournalResponse:
    entries = [encode_entry(entry) for entry in page.entries]
    return pb.ListJournalResponse(entries=entries, next_page_token=page.next_page_token)


def encode_entry(entry: JournalRecord) -> pb.JournalEntry:
    note = entry.note
    return pb.JournalEntry(
        entry_id=note.entry_id,
        text=note.text,
        source=note.source,
        data=None if note.data is None else encode_text(note.data),
        create_time=encode_time(entry.create_time),
        request_id=note.request_id,
        tags=note.tags,
    )
