"""What a block is given to work with: a run, typed by what the block declares. Tests get one from ``run_flow``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeVar as PlainTypeVar, overload

from pydantic import BaseModel

from flowstate_server.flows.block import Block
from flowstate_server.flows.reading import (
    M,
    OrgT_co,
    ReadingContext,
    RequestT_co,
    SessionReading,
    SessionT_co,
    StateT_co,
    UserT_co,
)
from flowstate_server.flows.resource_handles import CollectionHandle, ResourceHandle
from flowstate_server.flows.resources import Resource, ResourceCollection
from flowstate_server.flows.scope import ScopeHandle
from flowstate_server.model.ids import new_id
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.programs.history import HistoryItem
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.programs.run_context import ItemStream, SessionMetadata

ResourceT = PlainTypeVar("ResourceT", bound=BaseModel)
T = PlainTypeVar("T")
I = PlainTypeVar("I")  # noqa: E741
O = PlainTypeVar("O")  # noqa: E741

SEEN_BY_ALL = (Audience.CLIENT, Audience.HISTORY)


class SessionHandle(ScopeHandle[StateT_co], SessionReading[StateT_co], Generic[StateT_co]):
    """The session of the running request."""

    @abstractmethod
    async def set_metadata(
        self,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> SessionMetadata:
        """Replace the parts given, leave the others; never touches the state."""

    @abstractmethod
    async def append_journal(
        self, text: str, *, source: str = "", tags: Iterable[str] = (), data: Any = None
    ) -> JournalEntry:
        """Append a note to the session's journal, which your services read and clients never see.

        ``source`` says who notes it, ``data`` is whatever is JSON. The note is stored when this returns, behind all
        that the run has emitted before, and stays if the run fails later.

        Raises:
            MessageTooLargeError: text and data together have over 1 MiB (the limit of an item).
            ValidationFailedError: U+0000 in the text, control characters in the source or a tag, one of these over 128
                bytes, or over 64 tags.
        """

    @abstractmethod
    async def get_journal(self, limit: int = 10) -> Sequence[JournalEntry]:
        """The newest ``limit`` notes of the session's journal, oldest first: of this run, others and your services."""


class Context(
    ReadingContext[SessionT_co, UserT_co, OrgT_co, RequestT_co],
    Generic[SessionT_co, UserT_co, OrgT_co, RequestT_co],
):
    """A block's view of the request it runs in, typed by the state models that the block declares, in this order.

    There is always a session, a user and a request, but not always an org: look whether ``ctx.org`` is ``None`` first.
    A type checker finds where that is forgotten.
    """

    @property
    @abstractmethod
    def session(self) -> SessionHandle[SessionT_co]: ...

    @property
    @abstractmethod
    def user(self) -> ScopeHandle[UserT_co]: ...

    @property
    @abstractmethod
    def org(self) -> ScopeHandle[OrgT_co] | None:
        """The org that the session is bound to; ``None`` when it is bound to none, as after a call without an org.

        ::

            if ctx.org is None:
                raise ActionError("ORG_REQUIRED", "this needs an org")
            await ctx.org.inc_state(used=1)
        """

    @property
    @abstractmethod
    def request(self) -> ScopeHandle[RequestT_co]:
        """State of this one execution: gone when the request ends."""

    @overload
    def resource(self, declared: Resource[ResourceT], /) -> ResourceHandle[ResourceT]: ...

    @overload
    def resource(self, declared: ResourceCollection[ResourceT], /) -> CollectionHandle[ResourceT]: ...

    @abstractmethod
    def resource(self, declared: Any, /) -> Any: ...

    @abstractmethod
    def block_state(self, model: type[M], /) -> ScopeHandle[M]:
        """The state of this execution of the block, which declares ``state=``: in memory, fresh each time, and gone
        with it. The operations are those of a scope; they never conflict.

        Raises:
            BlockStateUnavailableError: the block declares no such state.
        """

    @abstractmethod
    def parent_state(self, model: type[M], /) -> ScopeHandle[M]:
        """The state of the execution that runs this one, to read and write; the block declares ``parent_state=``.

        Raises:
            BlockStateUnavailableError: the block does not declare that, or here the one that runs it has no such state.
        """

    @abstractmethod
    def sequencer_state(self, model: type[M], /) -> ScopeHandle[M]:
        """The state of the nearest sequencer around this execution that has one, to read and write; the block declares
        ``sequencer_state=``.

        Raises:
            BlockStateUnavailableError: the block does not declare that, or here there is no such state.
        """

    @abstractmethod
    def message(
        self,
        role: str = "assistant",
        *,
        name: str = "",
        audiences: Iterable[Audience] = SEEN_BY_ALL,
        transient: bool = False,
    ) -> AbstractAsyncContextManager[ItemStream]:
        """Stream a message. A ``transient`` one is shown while it is streamed and for some minutes after the request
        has ended; it is never stored as an item, and is in no history and no list.
        """

    @abstractmethod
    def reasoning(
        self, *, name: str = "", audiences: Iterable[Audience] = SEEN_BY_ALL, transient: bool = False
    ) -> AbstractAsyncContextManager[ItemStream]:
        """Stream reasoning; ``transient`` as in :meth:`message`."""

    @abstractmethod
    async def add_item(
        self,
        kind: ItemKind | str,
        content: Any,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience] = SEEN_BY_ALL,
        transient: bool = False,
    ) -> HistoryItem:
        """Append a whole item. For a message ``content`` may be its text; see ``model.items.Item`` for the others.
        ``transient`` as in :meth:`message`.

        Raises:
            ValidationFailedError: the content is not what the kind asks for; names the place.
        """

    async def tool_call(
        self,
        name: str,
        arguments: Any = None,
        *,
        call_id: str = "",
        audiences: Iterable[Audience] = SEEN_BY_ALL,
    ) -> HistoryItem:
        """Append the call of the tool ``name``. Its output names the ``call_id`` of the item returned, which is made if
        none is given::

            call = await ctx.tool_call("search", {"query": "rain"})
            await ctx.tool_output(call.call_id, await search("rain"))
        """
        content = {"call_id": call_id or new_id("call_"), "arguments": arguments}
        return await self.add_item(ItemKind.TOOL_CALL, content, name=name, audiences=audiences)

    async def tool_output(
        self, call_id: str, output: Any, *, name: str = "", audiences: Iterable[Audience] = SEEN_BY_ALL
    ) -> HistoryItem:
        """Append what came of a tool call; a history shows the two together or not at all."""
        content = {"call_id": call_id, "output": output}
        return await self.add_item(ItemKind.TOOL_OUTPUT, content, name=name, audiences=audiences)

    async def error(
        self, message: str, *, name: str = "", audiences: Iterable[Audience] = SEEN_BY_ALL
    ) -> HistoryItem:
        """Append an error for clients and the history to see. The run goes on; to fail it raise ``ActionError``."""
        return await self.add_item(ItemKind.ERROR, {"message": message}, name=name, audiences=audiences)

    async def custom(
        self,
        name: str,
        content: Any,
        *,
        audiences: Iterable[Audience] = SEEN_BY_ALL,
        transient: bool = False,
    ) -> HistoryItem:
        """Append an item of a sort of your own; ``transient`` as in :meth:`message`."""
        return await self.add_item(
            ItemKind.CUSTOM, content, name=name, audiences=audiences, transient=transient
        )

    @abstractmethod
    async def emit(
        self, name: str, data: Any = None, *, audience: Audience = Audience.INTERNAL, transient: bool = False
    ) -> None:
        """Append a custom event. It is committed with or before the next write of this run, in order of emission."""

    @abstractmethod
    async def status(self, text: str, progress: float | None = None) -> None:
        """Tell clients what is going on; ``progress`` from 0 to 1. Transient."""

    @abstractmethod
    def run(self, operation: Coroutine[Any, Any, T], /) -> T:
        """From a sync handler, which runs in a thread: run an operation of this context and wait for it.

        Raises:
            RuntimeError: it was called on the event loop, where operations are awaited.
        """

    @abstractmethod
    async def execute(self, block: Block[I, O], value: I, /) -> O:
        """Run another block as a part of this one, with a context of its own."""
