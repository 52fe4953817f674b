"""Resources as descriptions declare them, and as a run gives them to its program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Protocol

from flowstate_server.model.blobs import BlobKey
from flowstate_server.model.frozen import frozen
from flowstate_server.model.resources import ResourceRecord
from flowstate_server.model.scopes import ScopeKind
from flowstate_server.programs.resource_names import covers, is_pattern
from flowstate_server.schemas.scope_schema import ScopeSchema
from flowstate_server.state.operations import Operation


@frozen
class ShownResource:
    """What clients see of a resource. Its state: the fields ``exposed``, or, where ``computed``, what the program makes
    of it. ``content``: they may read it; ``live``: ``resource_change`` brings what they see of a change, not only its
    name and version."""

    exposed: tuple[str, ...] = ()
    computed: bool = False
    content: bool = False
    live: bool = False


@frozen
class ResourceDescription:
    """A resource, or a collection of them, as a flow declares it.

    ``name`` is that of a single one, or the pattern of a collection's names: ``*`` stands for one level, ``**`` for any
    number of levels, ``{topic}`` for a level with a name. ``schema`` governs the state. ``shown`` ``None``: to clients
    there is no such resource. Of a collection, beyond ``max_instances`` a new one is refused, or, where
    ``evicts``, takes the place of the oldest.
    """

    name: str
    scope: ScopeKind
    schema: ScopeSchema
    shown: ShownResource | None = None
    max_instances: int | None = None
    evicts: bool = False

    @property
    def collection(self) -> bool:
        return is_pattern(self.name)

    def covers(self, name: str) -> bool:
        """Whether it is about a resource called ``name``."""
        return covers(self.name, name)


@frozen
class ResourceWrite:
    """One write of one resource: all of it in one commit, or nothing.

    ``content``: bytes, or a finished upload, which is for one resource only; ``None`` keeps what is there.
    ``media_type`` ``None`` keeps it.
    Preconditions, each ``None`` or empty if it need not hold: ``exists``, ``at`` a version (0: never written), of an
    ``incarnation``.
    """

    operations: Sequence[Operation] = ()
    content: bytes | BlobKey | None = None
    media_type: str | None = None
    exists: bool | None = None
    at: int | None = None
    incarnation: str = ""


@frozen
class ResourceWritten:
    """``changed`` is judged against what was stored; what changes nothing makes no version."""

    record: ResourceRecord
    changed: bool


class Upload(Protocol):
    """Content on its way, in pieces; it becomes visible with the write that names its ``blob``."""

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        ...

    async def append(self, data: bytes, /) -> None:
        """
        Raises:
            MessageTooLargeError: the content would have over 64 MiB.
        """
        ...

    async def finish(self) -> BlobKey:
        """What to name in a write. An upload that is never named is swept."""
        ...


class ResourceAccess(Protocol):
    """The resources of one owner of a run, as records, operations and content.

    What :meth:`write`, :meth:`swap` and :meth:`delete` raise, and nothing is written then: VersionMismatchError
    (``at``, ``exists``), ResourceDeletedError (another incarnation), ResourceAlreadyExistsError (``exists`` false),
    TooManyResourcesError, and what a write to a scope raises. A name that no declaration of the flow covers is
    ResourceNotFoundError.
    """

    def loaded(self, name: str, /) -> ResourceRecord:
        """The newest record of a single resource that the run has seen, loaded with the request.

        Raises:
            LookupError: it was not loaded.
        """
        ...

    async def load(self, name: str, /) -> ResourceRecord:
        """The newest stored record; one that is not there has ``exists`` false."""
        ...

    async def list(
        self, description: ResourceDescription, prefix: str = "", *, limit: int = 50, after: str = ""
    ) -> Sequence[ResourceRecord]:
        """Resources that a declaration covers and whose names begin with ``prefix``, by name, beyond ``after``."""
        ...

    async def count(self, description: ResourceDescription) -> int: ...

    async def write(self, name: str, write: ResourceWrite, path: tuple[str, ...]) -> ResourceWritten: ...

    async def swap(
        self, name: str, change: Callable[[ResourceRecord], Sequence[Operation]], path: tuple[str, ...]
    ) -> ResourceWritten:
        """Compare-and-swap of its state, as ``ScopeAccess.swap``.

        Raises:
            ConcurrentModificationError: too many lost races.
        """
        ...

    async def delete(
        self, name: str, path: tuple[str, ...], *, at: int | None = None, incarnation: str = ""
    ) -> ResourceWritten:
        """Make it a tombstone, which is the record given back; not ``changed``: there was none."""
        ...

    async def upload(self) -> Upload:
        """Begin content in pieces."""
        ...

    def read(self, record: ResourceRecord, *, start: int = 0) -> AsyncIterator[bytes]:
        """The content of that version, in pieces of at most 1 MiB, whatever is written meanwhile.

        Raises:
            ResourceNotFoundError: it has no content, or was replaced so long ago that its content is gone.
        """
        ...


Resources = Mapping[ScopeKind, ResourceAccess]
"""Of the session, the user and, if there is one, the org."""
