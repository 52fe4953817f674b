"""The session of a run, as a block sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from flowstate_server.flows.context import SessionHandle
from flowstate_server.flows.local.begun_calls import Begun, tracks_calls
from flowstate_server.flows.local.block_items import BlockItems
from flowstate_server.flows.local.block_scope import BlockScope
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.programs.run_context import (
    RunContext,
    ScopeAccess,
    SessionIdentity,
    SessionItems,
    SessionMetadata,
)
from flowstate_server.schemas.pydantic.python_values import to_json
from flowstate_server.schemas.pydantic.schema import ModelSchema

StateT = TypeVar("StateT", bound=BaseModel, default=Any)


@tracks_calls
class BlockSession(BlockScope[StateT], SessionHandle[StateT], Generic[StateT]):
    def __init__(
        self,
        run: RunContext,
        scope: ScopeAccess,
        schema: ModelSchema,
        model: type[StateT],
        block_path: tuple[str, ...],
        begun: Begun,
    ) -> None:
        super().__init__(scope, schema, model, block_path, begun)
        self._run = run

    @property
    def id(self) -> str:
        return self._run.identity.session_id

    @property
    def identity(self) -> SessionIdentity:
        return self._run.identity

    @property
    def metadata(self) -> SessionMetadata:
        return self._run.metadata

    @property
    def items(self) -> SessionItems:
        return BlockItems(self._run.items, self.begun)

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
            # A text is left one, to be refused, rather than made a list of letters.
            "tags": tags if tags is None or isinstance(tags, str) else list(tags),
            "metadata": metadata,
        }
        return await self._run.set_metadata(
            {name: to_json(value, f"/{name}") for name, value in given.items() if value is not None}
        )

    async def append_journal(
        self, text: str, *, source: str = "", tags: Iterable[str] = (), data: Any = None
    ) -> JournalEntry:
        return await self._run.append_journal(text, source=source, tags=tags, data=to_json(data, "/data"))

    async def get_journal(self, limit: int = 10) -> Sequence[JournalEntry]:
        return await self._run.get_journal(limit)
