"""One resource: its state and its content."""

# Written by .ci/codegen/sync_client.py from flowstate_client/resource_handle.py: `make sync-client`.

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, overload

from typing_extensions import TypeForm

from flowstate_client import resource_handle as asynchronous
from flowstate_client.content_stream import Progress
from flowstate_client.flows import UNSET
from flowstate_client.models import StateWrite
from flowstate_client.resource_handle import _OF_THE_HANDLE, ResourceView
from flowstate_client.resource_record import ResourceRecord
from flowstate_client.state_batch import Seen
from flowstate_client.state_verbs import StateOp, StateT_co, StateVerbs
from flowstate_client.sync.content_stream import ContentStream
from flowstate_client.sync.contents import ContentSource, asynchronous as as_asynchronous
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.state_batch import ScopeBatch

T = TypeVar("T")


class ResourceHandle(StateVerbs[StateWrite, StateT_co], Generic[StateT_co]):
    """One resource. Making a handle costs no round trip::

        artifact = client.resources.session(session_id)["artifact"]
        artifact.patch_state(title="Plan")
        artifact.put(state={"title": "Plan"}, content="# Plan", media_type="text/markdown")
        artifact.upload("plan.pdf", media_type="application/pdf")
        artifact.download("copy.pdf")

    Reading is for every caller, as far as the flow shows the resource; all else is for trusted ones. The operations on
    the state are those of ``client.state``, and raise what these raise; each is one commit. The first write makes the
    resource. What everything here raises:
        ResourceNotFound: there is no such resource, or this caller may not know of it.
        SessionNotFound, FlowNotFound, PermissionDenied, Unavailable.

    And all that writes:
        VersionMismatch: the condition of ``at`` or ``if_exists`` does not hold.
        ResourceAlreadyExists: it exists, and ``if_exists(False)`` was asked for.
        ResourceDeleted: it was deleted since it was read, ``at`` that.
        TooManyResources: the owner, or the collection, has as many as it may.
        TooLarge: the state, or the content.
        ValidationFailed, SchemaViolation: the name, or the state.
    """

    def __init__(self, thread: LoopThread, resource_handle: asynchronous.ResourceHandle[StateT_co]) -> None:
        self._thread = thread
        self._resource_handle = resource_handle
        self._codec = resource_handle._codec
        self._types = resource_handle._types

    @property
    def name(self) -> str:
        return self._resource_handle.name

    def at(self, seen: Seen, /) -> ResourceHandle[StateT_co]:
        """The same, on the condition that the resource is as it was seen, as ``ScopeHandle.at`` of ``client.state``."""
        return ResourceHandle(self._thread, self._resource_handle.at(seen))

    def if_exists(self, exists: bool = True, /) -> ResourceHandle[StateT_co]:
        """The same, on the condition that the resource exists, or does not."""
        return ResourceHandle(self._thread, self._resource_handle.if_exists(exists))

    def on_behalf_of(self, request_id: str, /) -> ResourceHandle[StateT_co]:
        """The same, with the change in the log of this running request."""
        return ResourceHandle(self._thread, self._resource_handle.on_behalf_of(request_id))

    @overload
    def get(self, *, view: ResourceView | None = ...) -> ResourceRecord[StateT_co]: ...
    @overload
    def get(  # pyright: ignore[reportOverlappingOverload]
        self, *, model: TypeForm[T], view: ResourceView | None = ...
    ) -> ResourceRecord[T]: ...
    # As of RunHandle.result.
    @overload
    def get(  # type: ignore[overload-cannot-match]
        self, *, model: TypeForm[object], view: ResourceView | None = ...
    ) -> ResourceRecord[object]: ...
    @overload
    def get(self, *, model: Any, view: ResourceView | None = ...) -> ResourceRecord[Any]: ...
    def get(self, *, model: Any = _OF_THE_HANDLE, view: ResourceView | None = None) -> ResourceRecord[Any]:
        """The newest version, its state read as ``model``; with the content, if that has at most 1 MiB."""
        return self._thread.run(self._resource_handle.get(model=model, view=view))

    def put(
        self,
        *,
        state: Any = UNSET,
        content: str | bytes | None = None,
        media_type: str | None = None,
        idempotency_key: str | None = None,
    ) -> StateWrite:
        """Write what is given, all of it in one commit, and leave the rest: a whole state, content of up to 1 MiB
        (``upload`` takes more), and what it is. With nothing given make an empty resource.

        Repeated by itself, with the same idempotency key; give your own for a job that may be restarted.

        Raises:
            ValueError: ``state`` cannot be sent, or ``content`` is too large.
        """
        return self._thread.run(
            self._resource_handle.put(
                state=state, content=content, media_type=media_type, idempotency_key=idempotency_key
            )
        )

    def delete(self, *, allow_missing: bool = False) -> None:
        """Delete it, on the condition of ``at`` or ``if_exists``. ``allow_missing``: none is fine."""
        self._thread.run(self._resource_handle.delete(allow_missing=allow_missing))

    def upload(
        self,
        source: ContentSource,
        *,
        media_type: str = "",
        progress: Progress | None = None,
        timeout: float | None = None,
    ) -> StateWrite:
        """Replace the content, of up to 64 MiB, by bytes, by those of a file, or by those that come in pieces.

        They are sent in pieces of 1 MiB, of which memory holds two; a piece is repeated while the server is away. The
        new content shows all at once, when all of it has arrived with the right checksum.

        Args:
            source: bytes, a path, or an iterator of bytes.
            media_type: what it is; empty: what it was.
            progress: called with the bytes sent, and how many it will be (``None`` for an iterator, which does not
                tell), after each piece.
            timeout: of each piece, with all its repeats; by default ``ClientConfig.timeout``.

        Raises:
            OSError: the file cannot be read.
            TypeError: ``source`` is none of these.
        """
        return self._thread.run(
            self._resource_handle.upload(
                as_asynchronous(source), media_type=media_type, progress=progress, timeout=timeout
            )
        )

    def read_pieces(
        self, *, start: int = 0, progress: Progress | None = None, max_outage: float | None = None
    ) -> ContentStream:
        """The content of one version, in pieces, from the byte ``start`` on; see :class:`ContentStream`."""
        return ContentStream(
            self._thread,
            self._resource_handle.read_pieces(start=start, progress=progress, max_outage=max_outage),
        )

    def read(self) -> bytes:
        """The whole content, in memory; empty where there is none."""
        return self._thread.run(self._resource_handle.read())

    def read_text(self) -> str:
        """:meth:`read`, as text."""
        return self._thread.run(self._resource_handle.read_text())

    def download(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        max_outage: float | None = None,
    ) -> ResourceRecord[Any]:
        """Write the content to a file, which is there when all of it has come with the right checksum.

        It goes on by itself where a broken connection left off, and begins anew where the content was replaced
        meanwhile and what it was is gone.

        Args:
            path: of the file; one that is there is replaced.
            progress: called with the bytes received, and how many it will be, after each piece.
            max_outage: seconds without the server after which it fails; by default it goes on waiting.

        Raises:
            OSError: the file cannot be written.
        """
        return self._thread.run(
            self._resource_handle.download(path, progress=progress, max_outage=max_outage)
        )

    def batch(
        self, *, idempotency_key: str | None = None, validate_only: bool = False
    ) -> ScopeBatch[StateT_co]:
        """Collect operations on the state in ``with`` and commit them as one version; the arguments are as in
        ``States.batch``, which can have resources in it, too.
        """
        return ScopeBatch(
            self._thread,
            self._resource_handle.batch(idempotency_key=idempotency_key, validate_only=validate_only),
        )

    def atomic_state(self, change: Callable[[StateT_co], Mapping[str, Any] | None], /) -> StateWrite:
        """Read, compute, compare-and-swap, as ``ScopeHandle.atomic_state`` of ``client.state``. ``change`` gets the
        empty state, as the handle's model reads it, where there is no resource yet.
        """
        return self._thread.run(self._resource_handle.atomic_state(change))

    def _submit(self, ops: Iterable[StateOp]) -> StateWrite:
        return self._thread.run(self._resource_handle._submit(ops))
