"""The session of a run, as a block sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.engine.records.session_fields import check_session_fields
from flowstate_server.engine.runs.items import RunHistory
from flowstate_server.engine.runs.recorder import Recorder
from flowstate_server.engine.runs.scope_handle import BlockScope, RunScope
from flowstate_server.flows.context import SessionHandle, SessionIdentity, SessionItems, SessionMetadata
from flowstate_server.model.json_values import JsonObject
from flowstate_server.model.records import RequestHead, SessionRecord
from flowstate_server.state.json_profile import to_json
from flowstate_server.stores.contract.writes import UpdateSession

StateT = TypeVar("StateT", bound=BaseModel, default=Any)


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
        result = await self._recorder.commit(UpdateSession(self._head.session, fields, self._head.key))
        session = result.results[-1].session
        if session is not None:
            self.metadata = _metadata_of(session)
        return self.metadata


class BlockSession(BlockScope[StateT], SessionHandle[StateT], Generic[StateT]):
    """The session as one block sees it."""

    def __init__(
        self, session: RunSession, scope: RunScope, model: type[StateT], block_path: tuple[str, ...]
    ) -> None:
        super().__init__(scope, model, block_path)
        self._session = session

    @property
    def id(self) -> str:
        return self._session.identity.session_id

    @property
    def identity(self) -> SessionIdentity:
        return self._session.identity

    @property
    def metadata(self) -> SessionMetadata:
        return self._session.metadata

    @property
    def items(self) -> SessionItems:
        return self._session.history

    async def set_metadata(
        self,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> SessionMetadata:
        given = {
            "title": title,
            "description": description,
            "tags": None if tags is None else list(tags),
            "metadata": metadata,
        }
        fields = {name: to_json(value, f"/{name}") for name, value in given.items() if value is not None}
        check_session_fields(fields)
        return await self._session.set_metadata(fields)


def _metadata_of(record: SessionRecord) -> SessionMetadata:
    return SessionMetadata(record.title, record.description, record.tags, record.metadata, record.version)
