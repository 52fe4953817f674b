"""The journal of a run's session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowstate_server.engine.calls.journals import NewNote
from flowstate_server.engine.records.journal_fields import checked_note
from flowstate_server.engine.records.journals import newest_entries
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.settings import EngineSettings
from flowstate_server.errors import ValidationFailedError, Violation
from flowstate_server.model.journal import decode_entry
from flowstate_server.model.json_values import Json, encode_json
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.stores.contract.document_writes import AppendJournal
from flowstate_server.stores.store import Store


class RunJournal:
    """Appends under the fence of the run, behind what it has emitted; reads what is stored."""

    def __init__(
        self,
        store: Store,
        session: SessionRecord,
        head: RequestHead,
        recorder: Recorder,
        settings: EngineSettings,
    ) -> None:
        self._store = store
        self._session = session
        self._head = head
        self._recorder = recorder
        self._settings = settings

    async def append(self, text: str, source: str, tags: Iterable[str], data: Json) -> JournalEntry:
        new = NewNote(
            text=text,
            source=source,
            # A text is left one, to be refused, rather than made a list of letters.
            tags=tags if isinstance(tags, str) else tuple(tags),
            data=None if data is None else encode_json(data),
            request_id=self._head.key.request_id,
        )
        note = checked_note(new, "", self._settings.max_item_bytes)
        write = AppendJournal(self._session.key, self._session.log_id, (note,))
        result = await self._recorder.write(write)
        [entry] = result.results[-1].documents
        return JournalEntry.of(decode_entry(entry))

    async def newest(self, limit: int) -> Sequence[JournalEntry]:
        if limit < 0:
            raise ValidationFailedError((Violation("limit", "range", "must not be negative"),))
        session = self._session
        records = await self._recorder.once_back(
            lambda: newest_entries(self._store, session.key, session.log_id, limit)
        )
        return [JournalEntry.of(record) for record in records]
