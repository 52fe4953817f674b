"""A block's context with nothing to write by, for the functions that decide for it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from flowstate_server.flows.context import Context, SessionHandle
from flowstate_server.flows.local.only_reading import OnlyReading
from flowstate_server.flows.local.reading_resources import read_only
from flowstate_server.flows.reading import ReadingContext, ScopeReading, SessionReading
from flowstate_server.flows.scope import ScopeHandle
from flowstate_server.programs.run_context import SessionIdentity, SessionItems, SessionMetadata

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class BlockReading(OnlyReading, ReadingContext[Any, Any, Any, Any]):
    writes = Context

    def __init__(self, context: Context[Any, Any, Any, Any]) -> None:
        self._context = context

    @property
    def request_id(self) -> str:
        return self._context.request_id

    @property
    def session(self) -> SessionReading[Any]:
        return _ReadSession(self._context.session)

    @property
    def user(self) -> ScopeReading[Any]:
        return ReadScope(self._context.user)

    @property
    def org(self) -> ScopeReading[Any] | None:
        org = self._context.org
        return None if org is None else ReadScope(org)

    @property
    def request(self) -> ScopeReading[Any]:
        return ReadScope(self._context.request)

    def resource(self, declared: Any, /) -> Any:
        return read_only(self._context.resource(declared))

    def block_state(self, model: type[M], /) -> ScopeReading[M]:
        return ReadScope(self._context.block_state(model))

    def parent_state(self, model: type[M], /) -> ScopeReading[M]:
        return ReadScope(self._context.parent_state(model))

    def sequencer_state(self, model: type[M], /) -> ScopeReading[M]:
        return ReadScope(self._context.sequencer_state(model))

    def target(self, name: str, model: type[M], /) -> ScopeReading[M] | None:
        return self._context.target(name, model)

    def dependency(self, asked: type[T], /) -> T:
        return self._context.dependency(asked)


class ReadScope(OnlyReading, ScopeReading[Any]):
    writes = ScopeHandle

    def __init__(self, scope: ScopeHandle[Any]) -> None:
        self._scope = scope

    @property
    def state(self) -> Any:
        return self._scope.state

    def get(self, field: str, /) -> Any:
        return self._scope.get(field)

    @property
    def version(self) -> int:
        return self._scope.version


class _ReadSession(ReadScope, SessionReading[Any]):
    writes = SessionHandle

    def __init__(self, session: SessionHandle[Any]) -> None:
        super().__init__(session)
        self._session = session

    @property
    def id(self) -> str:
        return self._session.id

    @property
    def identity(self) -> SessionIdentity:
        return self._session.identity

    @property
    def metadata(self) -> SessionMetadata:
        return self._session.metadata

    @property
    def items(self) -> SessionItems:
        return self._session.items
