from __future__ import annotations

import pytest

from flowstate.v1 import journal_service_pb2 as pb
from flowstate.v1.types_pb2 import Value
from flowstate_server.engine.calls.journals import JournalAppended, JournalPage, JournalQuery, NewNote
from flowstate_server.errors import JsonInvalidError, MessageTooLargeError
from flowstate_server.model.clock import Micros
from flowstate_server.model.journal import JournalRecord, Note
from flowstate_server.rpc.codec.journals import (
    decode_append,
    decode_journal_query,
    encode_appended,
    encode_journal_page,
)
from flowstate_server.rpc.message_fields import MAX_DOCUMENT_REPLY

NOTE = Note(
    entry_id="note_1", text="text", source="source", tags=("a", "b"), data=b'{"n":1.0}', request_id="r1"
)
WHOLE = pb.JournalEntry(
    entry_id="note_1",
    text="text",
    source="source",
    tags=["a", "b"],
    data=Value(json='{"n":1.0}'),
    request_id="r1",
)


def test_notes_come_in_as_sent_and_in_normal_form() -> None:
    spaced = pb.JournalEntry(text="x", data=Value(json=' [1,\n 1.0, -0.0, {"b": 1, "a": 1}] '))
    append = decode_append(
        pb.AppendJournalRequest(session_id="s", entries=[WHOLE, spaced, pb.JournalEntry()])
    )
    assert append.session_id == "s"
    assert list(append.notes) == [
        NewNote("text", "source", ("a", "b"), b'{"n":1.0}', "r1"),
        NewNote("x", data=b'[1,1.0,-0.0,{"b":1,"a":1}]'),
        NewNote(""),
    ]
    assert (append.idempotency_key, append.fingerprint) == ("", "")


def test_the_fingerprint_is_that_of_the_content() -> None:
    def of(**fields: object) -> str:
        request = pb.AppendJournalRequest(**{"session_id": "s", "entries": [WHOLE], **fields})  # type: ignore[arg-type]
        return decode_append(request).fingerprint

    first = of(idempotency_key="k")
    assert first == of(idempotency_key="other")
    assert len({first, of(idempotency_key="k", session_id="t"), of(idempotency_key="k", entries=[])}) == 3


def test_data_that_is_no_json_is_named() -> None:
    entries = [WHOLE, pb.JournalEntry(data=Value(json="{"))]
    with pytest.raises(JsonInvalidError) as refused:
        decode_append(pb.AppendJournalRequest(entries=entries))
    assert refused.value.path == "entries[1].data"


def test_a_message_whose_answer_has_no_room_is_refused() -> None:
    half = pb.JournalEntry(text="x" * (MAX_DOCUMENT_REPLY // 2))
    decode_append(pb.AppendJournalRequest(entries=[half]))
    with pytest.raises(MessageTooLargeError):
        decode_append(pb.AppendJournalRequest(entries=[half, half]))


def test_queries() -> None:
    request = pb.ListJournalRequest(session_id="s", newest_first=True, page_size=-1, page_token="t")
    assert decode_journal_query(request) == JournalQuery("s", newest_first=True, page_size=-1, page_token="t")


def test_entries_go_out_with_id_and_time() -> None:
    records = [
        JournalRecord(NOTE, 1, Micros(1_000_002)),
        JournalRecord(Note("note_2", ""), 2, Micros(3_000_000)),
    ]
    page = encode_journal_page(JournalPage(records, "token"))
    first, second = page.entries
    assert (first.create_time.seconds, first.create_time.nanos) == (1, 2_000)
    first.ClearField("create_time")
    assert first == WHOLE
    assert not second.HasField("data")
    assert second.create_time.seconds == 3
    assert page.next_page_token == "token"


def test_a_repeat_has_ids_alone() -> None:
    appended = encode_appended(
        JournalAppended([JournalRecord(Note("note_1", ""), 0, Micros(0))], replayed=True)
    )
    assert appended == pb.AppendJournalResponse(entries=[pb.JournalEntry(entry_id="note_1")], replayed=True)
