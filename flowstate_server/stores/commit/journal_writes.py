"""Journals: notes get their numbers."""

from __future__ import annotations

from flowstate_server.model.journal import counter_key, decode_count, encode_count, encode_note, entry_key
from flowstate_server.stores.commit.document_writes import need_owner, put, require_owner
from flowstate_server.stores.commit.working_set import WorkingSet
from flowstate_server.stores.contract.document_writes import AppendJournal
from flowstate_server.stores.contract.tables import DOCUMENTS, Needs
from flowstate_server.stores.contract.writes import WriteResult


def need_journal(write: AppendJournal, needs: Needs) -> None:
    counter = counter_key(write.session, write.log_id)
    needs.add(DOCUMENTS, counter)
    need_owner(counter.owner, needs)


def append_journal(work: WorkingSet, write: AppendJournal) -> WriteResult:
    counter = counter_key(write.session, write.log_id)
    require_owner(work, counter.owner)
    number = decode_count(work.documents.find(counter))
    entries = []
    for note in write.notes:
        number += 1
        key = entry_key(write.session, write.log_id, number)
        entries.append(put(work, key, encode_note(note)))
    if entries:
        put(work, counter, encode_count(number))
        work.note_activity(work.live_session(write.session))
    return WriteResult(
        id=write.session.session_id,
        version=number,
        changed=bool(entries),
        ids=tuple([note.entry_id for note in write.notes]),
        documents=tuple(entries),
    )
