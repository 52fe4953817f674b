"""What a run gives to the program that it executes: all that an action can see, and all that it can do.

Whatever a program does to the outside goes through here as plain values: operations on state, events, items. Each takes
``path``, the names of the blocks that lead to who does it (empty where there are none). The engine commits them under
the run's lease, in the order of the calls; once the request has ended elsewhere it refuses them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from flowstate_server.model.events import Event
from flowstate_server.model.identity import Tenant
from flowstate_server.model.items import Audience, ItemKind
from flowstate_server.model.json_values import Json, JsonObject
from flowstate_server.model.records import StateRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.history import HistoryItem, Tokens, Turns
from flowstate_server.programs.journal import JournalEntry
from flowstate_server.programs.resources import Resources
from flowstate_server.state.operations import Operation
from flowstate_server.state.write import StateWrite


@dataclass(frozen=True, slots=True)
class SessionIdentity:
    """Whose session this is; bare ids as callers sent them, empty where there is none."""

    session_id: str
    user_id: str
    org_id: str
    tenant: Tenant


@dataclass(frozen=True, slots=True)
class SessionMetadata:
    """A session's metadata, apart from its state. ``version`` counts its changes."""

    title: str
    description: str
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]
    version: int


class SessionItems(ABC):
    """The session's history: the newest completed turns (the flow's ``history_window``) and the running request.

    The window is loaded once, when it is first asked for; a run that never looks back pays nothing. Failed and
    aborted requests are not history.
    """

    @abstractmethod
    async def all(self) -> Sequence[HistoryItem]:
        """Every item of the window."""

    @abstractmethod
    async def client(self) -> Sequence[HistoryItem]:
        """Those meant for clients."""

    @abstractmethod
    async def history(self, limit: Turns | Tokens | None = None) -> Sequence[HistoryItem]:
        """Those meant for the model, oldest first, narrowed by ``limit``.

        A turn is one completed request; the running request is always there and not counted. A tool call or output
        whose other half is cut by the window is dropped.
        """


class ItemStream(ABC):
    """An item in the making: ``item.added``, deltas, ``item.done`` when the ``with`` ends.

    Deltas carry the text of every :meth:`write` in order; those close together may be joined to one.

    Leaving the ``with`` by an exception appends the text so far, too.
    """

    @property
    @abstractmethod
    def item_id(self) -> str: ...

    @property
    @abstractmethod
    def text(self) -> str:
        """What was written so far."""

    @abstractmethod
    async def write(self, text: str, /) -> None: ...


class ScopeAccess(Protocol):
    """One scope of a run, as records and operations.

    What :meth:`write` and :meth:`swap` raise, and nothing is written then: StateValidationError,
    StateTypeConflictError, StateTooLargeError, JsonLimitError; ScopeUnavailableError after the user or org record was
    deleted, or written by a newer deploy; LeaseLostError or RequestTerminalError when the request was ended elsewhere,
    and the program has to stop.
    """

    @property
    def record(self) -> StateRecord:
        """The newest record that the run has seen, its own writes included, as today's flows read it. Don't modify
        its state.

        Raises:
            ScopeUnavailableError: it is of an older generation, and can't be upgraded.
        """
        ...

    async def write(
        self, operations: Sequence[Operation], path: tuple[str, ...], *, at: int | None = None
    ) -> StateWrite:
        """Commit ``operations`` as one version, or none of them; if ``at`` is given only at that version.

        Raises:
            VersionMismatchError: the record is not at version ``at``.
        """
        ...

    async def refresh(self) -> StateRecord:
        """Read the newest stored record."""
        ...

    async def swap(
        self, change: Callable[[StateRecord], Sequence[Operation]], path: tuple[str, ...]
    ) -> StateWrite:
        """Read, compute, compare-and-swap; ``change`` is pure, and runs again when another writer was first.

        Raises:
            ConcurrentModificationError: too many lost races.
        """
        ...


class RunContext(Protocol):
    """The run of one request."""

    @property
    def request_id(self) -> str: ...

    @property
    def identity(self) -> SessionIdentity: ...

    @property
    def scopes(self) -> Mapping[ScopeKind, ScopeAccess]:
        """All four, but for the org's where the session has none."""
        ...

    @property
    def resources(self) -> Resources:
        """Those of a flow that declares resources, else none."""
        ...

    @property
    def dependencies(self) -> Sequence[object]:
        """What the application's lifespan yields."""
        ...

    @property
    def items(self) -> SessionItems: ...

    @property
    def metadata(self) -> SessionMetadata: ...

    async def set_metadata(self, fields: JsonObject, /) -> SessionMetadata:
        """Replace the fields given (``title``, ``description``, ``tags``, ``metadata``), leave the others.

        Raises:
            ValidationFailedError: a field has the wrong type or is beyond its limit.
        """
        ...

    async def append_journal(
        self, text: str, *, source: str = "", tags: Iterable[str] = (), data: Json = None
    ) -> JournalEntry:
        """Append a note of this request to the session's journal; ``data`` ``None`` is no data.

        It is committed behind what was emitted before, and refused like every other write.

        Raises:
            MessageTooLargeError: text and data together are over the limit of an item.
            ValidationFailedError: a field has the wrong type, a character that it may not have, or is beyond its limit.
        """
        ...

    async def get_journal(self, limit: int = 10) -> Sequence[JournalEntry]:
        """The newest ``limit`` notes of the session, whoever appended them, oldest first."""
        ...

    def hold(self, event: Event, /) -> bool:
        """Take an event; it is committed with or before the run's next write. Whether far more is held than the store
        has taken, so that :meth:`room` is to be awaited.

        Raises:
            MessageTooLargeError: no tail could deliver it.
            RequestTerminalError: the run has ended.
        """
        ...

    async def room(self) -> None:
        """Wait while far more is held than the store has taken."""
        ...

    def observe_block(self, path: tuple[str, ...], *, kind: str, seconds: float, outcome: str) -> None:
        """Tell the server's observer of a block that ran: ``completed``, ``failed`` or ``cancelled``."""
        ...

    async def add_item(
        self,
        kind: ItemKind,
        content: Json,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience],
        path: tuple[str, ...] = (),
        transient: bool = False,
    ) -> HistoryItem:
        """Append a whole item; the content of a message or of reasoning may be its text. A ``transient`` one is told,
        and never stored as an item.

        Raises:
            ValidationFailedError: the content is not what the kind asks for, see ``model.items.Item``.
            MessageTooLargeError: it is over the limit of an item.
        """
        ...

    def stream_item(
        self,
        kind: ItemKind,
        *,
        role: str = "",
        name: str = "",
        audiences: Iterable[Audience],
        path: tuple[str, ...] = (),
        transient: bool = False,
    ) -> AbstractAsyncContextManager[ItemStream]:
        """Stream a message or reasoning."""
        ...
