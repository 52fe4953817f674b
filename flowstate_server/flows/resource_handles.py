"""What a block sees of resources: their state and content to read, the operations to change them.

State and content have one version. A write changes both in one commit, or neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic

from pydantic import BaseModel

from flowstate_server.flows.resource_reading import CollectionReading, ResourceReading
from flowstate_server.flows.scope import Fields, StateBatch, StateT_co, StateWriter
from flowstate_server.schemas.pydantic.schema import ModelSchema
from flowstate_server.state.write import StateWrite

Content = str | bytes
"""Text is kept as UTF-8."""


class ResourceWriter(StateWriter[StateT_co], Generic[StateT_co]):
    """The operations on a resource: those on its state, and those on the whole.

    The first write creates it. Where the handle has seen it, a write is about what it has seen.

    Raises (all that write, beside what :class:`StateWriter` says; nothing is written then):
        ResourceDeletedError: it was deleted since; :meth:`ResourceHandle.refresh` lets the handle begin anew.
        TooManyResourcesError: the owner, or the collection, has as many as it may.
    """

    @abstractmethod
    async def write(self, content: Content, /, *, media_type: str | None = None) -> StateWrite:
        """Replace the content, of up to 64 MiB; equal content is no change. ``media_type`` says what it is, such as
        ``"text/markdown"``; without it that stays.

        Raises:
            MessageTooLargeError: it has over 64 MiB.
        """

    @abstractmethod
    async def delete(self) -> bool:
        """Delete it; whether there was one. Its version goes on in what is created anew under the name."""


class ContentWriter(ABC):
    """Content on its way, in pieces; :attr:`result` is there when it is complete."""

    result: StateWrite | None = None

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes written so far."""

    @abstractmethod
    async def write(self, piece: Content, /) -> None:
        """Append a piece, of any length. Those that are written at once come in the order of their calls.

        Raises:
            MessageTooLargeError: the content would have over 64 MiB.
            RuntimeError: the content is finished, or a piece before was cancelled or refused amid.
        """


class ResourceBatch(StateBatch[StateT_co], Generic[StateT_co]):
    """What is collected in ``async with resource.batch() as b``: operations on the state, and the content."""

    def __init__(self, schema: ModelSchema) -> None:
        super().__init__(schema)
        self.content: bytes | None = None
        self.media_type: str | None = None

    def write(self, content: Content, /, *, media_type: str | None = None) -> None:
        """Replace the content, as :meth:`ResourceWriter.write`."""
        self._collect(())
        self.content, self.media_type = as_bytes(content), media_type


class ResourceHandle(ResourceReading[StateT_co], ResourceWriter[StateT_co], Generic[StateT_co]):
    """A resource: a single one, ``ctx.resource(artifact)``, or one of a collection.

    ::

        resource = ctx.resource(artifact)
        await resource.patch_state(title="Plan")
        async with resource.batch() as b:
            b.inc_state(revision=1)
            b.write("# Plan", media_type="text/markdown")
    """

    @abstractmethod
    async def refresh(self) -> None:
        """Look at the newest version."""

    @abstractmethod
    def open(self, *, media_type: str | None = None) -> AbstractAsyncContextManager[ContentWriter]:
        """Replace the content by pieces, of which memory holds few::

            async with resource.open(media_type="text/csv") as content:
                async for row in rows:
                    await content.write(row)

        What was written is there when the ``with`` has ended, all at once; if it ends by an exception, nothing is.
        """

    @abstractmethod
    def batch(self) -> AbstractAsyncContextManager[ResourceBatch[StateT_co]]:
        """Collect operations and content, and commit them as one version."""

    @abstractmethod
    def at(self, version: int, /) -> ResourceWriter[StateT_co]:
        """The same operations, on the condition that the resource is at ``version``.

        Otherwise nothing is written and ``VersionMismatchError`` carries the current version. Never retried.
        """

    @abstractmethod
    async def atomic_state(self, change: Callable[[StateT_co], BaseModel | Fields], /) -> StateWrite:
        """Read, compute, compare-and-swap of the state, as ``ScopeHandle.atomic_state``."""


class CollectionHandle(CollectionReading[StateT_co], Generic[StateT_co]):
    """The resources of a collection, ``ctx.resource(files)``. Nothing of it is loaded until it is asked for.

    Names are whole (``"files/plan.md"``), and have to fit the collection's pattern.

    Raises (all of them):
        ValidationFailedError: a name does not fit.
    """

    @abstractmethod
    async def create(
        self,
        name: str,
        state: BaseModel | Mapping[str, Any] | None = None,
        /,
        *,
        content: Content | None = None,
        media_type: str | None = None,
    ) -> ResourceHandle[StateT_co]:
        """Make a new one, with all of that in one commit.

        Raises:
            ResourceAlreadyExistsError: there is one.
            TooManyResourcesError: the owner, or the collection, has as many as it may.
            FlowStateError: what :class:`StateWriter` says.
        """

    @abstractmethod
    async def get(self, name: str, /) -> ResourceHandle[StateT_co]:
        """
        Raises:
            ResourceNotFoundError: there is none.
        """

    @abstractmethod
    async def get_or_none(self, name: str, /) -> ResourceHandle[StateT_co] | None: ...

    @abstractmethod
    async def get_or_create(
        self,
        name: str,
        state: BaseModel | Mapping[str, Any] | None = None,
        /,
        *,
        content: Content | None = None,
        media_type: str | None = None,
    ) -> ResourceHandle[StateT_co]:
        """The one that there is, else a new one as by :meth:`create`. Of those who race for it one creates it."""

    @abstractmethod
    async def list(
        self, prefix: str = "", *, limit: int = 50, after: str = ""
    ) -> Sequence[ResourceHandle[StateT_co]]:
        """At most ``limit`` of those whose names begin with ``prefix``, by name, beyond the name ``after``."""

    @abstractmethod
    async def delete(self, name: str, /) -> bool:
        """Delete one; whether there was one."""


def as_bytes(content: object) -> bytes:
    """
    Raises:
        TypeError: it is neither text nor bytes.
    """
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    raise TypeError(f"content is text or bytes, not {type(content).__name__}")
