"""The session of a run."""

from __future__ import annotations

from flowstate_server.engine.records.session_fields import check_session_fields
from flowstate_server.engine.runs.items import RunHistory
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.programs.run_context import SessionIdentity, SessionMetadata
from flowstate_server.stores.contract.writes import UpdateSession


class RunSession:
    """What a run knows of its session beside the state."""

    def __init__(
        self,
        record: SessionRecord,
        identity: SessionIdentity,
        head: RequestHead,
        recorder: Recorder,
        history: RunHistory,
    ) -> None:
        self.metadata = _metadata_of(record)
        self.identity = identity
        self.history = history
        self._head = head
        self._recorder = recorder

    async def set_metadata(self, fields: JsonObject) -> SessionMetadata:
        check_session_fields(fields)
        result = await self._recorder.write(UpdateSession(self._head.session, fields, self._head.key))
        session = result.results[-1].session
        if session is not None:
            self.metadata = _metadata_of(session)
        return self.metadata


def _metadata_of(record: SessionRecord) -> SessionMetadata:
    return SessionMetadata(
        title=record.title,
        description=record.description,
        tags=record.tags,
        metadata=record.metadata,
        version=record.version,
    )
