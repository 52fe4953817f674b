"""One resource: its state and its content."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, overload

from typing_extensions import TypeForm

from flowstate.v1 import resource_service_pb2, resource_service_pb2_grpc, state_service_pb2, types_pb2
from flowstate_client.arguments import identifier, number
from flowstate_client.content_stream import ContentStream, Progress
from flowstate_client.errors import ResourceNotFound, VersionMismatch
from flowstate_client.field_types import field_types
from flowstate_client.flows import UNSET
from flowstate_client.ids import idempotency_key_of
from flowstate_client.json_profile import check_text
from flowstate_client.models import StateWrite
from flowstate_client.proof import proven_text
from flowstate_client.resource_record import AbsentResource, ResourceRecord
from flowstate_client.state import States
from flowstate_client.state_batch import ScopeBatch, Seen, as_seen
from flowstate_client.state_swap import swap
from flowstate_client.state_verbs import StateOp, StateT_co, StateVerbs
from flowstate_client.uploads import ContentSource, Upload, as_bytes

T = TypeVar("T")

MAX_NAME_BYTES = 512
MAX_INLINE_BYTES = 1024 * 1024

_OF_THE_HANDLE: Any = object()

_VIEWS = {
    None: resource_service_pb2.RESOURCE_VIEW_UNSPECIFIED,
    "full": resource_service_pb2.RESOURCE_VIEW_FULL,
    "client": resource_service_pb2.RESOURCE_VIEW_CLIENT,
}
ResourceView = Literal["full", "client"]
"""How much to see of a resource: all of it (trusted plane), or what the flow shows to clients. ``None``: as much as
this caller may see."""


def view_number(view: ResourceView | None) -> resource_service_pb2.ResourceView.ValueType:
    """The view on the wire.

    Raises:
        ValueError: there is no such view.
    """
    if view not in _VIEWS:
        raise ValueError(f"a view is full or client, not {view!r}")
    return _VIEWS[view]


class ResourceHandle(StateVerbs[Coroutine[Any, Any, StateWrite], StateT_co], Generic[StateT_co]):
    """One resource. Making a handle costs no round trip::

        artifact = client.resources.session(session_id)["artifact"]
        await artifact.patch_state(title="Plan")
        await artifact.put(state={"title": "Plan"}, content="# Plan", media_type="text/markdown")
        await artifact.upload("plan.pdf", media_type="application/pdf")
        await artifact.download("copy.pdf")

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

    def __init__(
        self,
        states: States,
        stub: resource_service_pb2_grpc.ResourceServiceStub,
        scope: types_pb2.ScopeRef,
        name: str,
        *,
        model: Any = Any,
        precondition: types_pb2.Precondition | None = None,
        request_id: str = "",
    ) -> None:
        self.name = identifier(name, "name", MAX_NAME_BYTES)
        self._states = states
        self._caller = states.caller
        self._stub = stub
        self._scope = scope
        self._model = model
        self._precondition = precondition
        self._request_id = request_id
        self._codec = states.codec
        self._types = field_types(model)

    def at(self, seen: Seen, /) -> ResourceHandle[StateT_co]:
        """The same, on the condition that the resource is as it was seen, as ``ScopeHandle.at`` of ``client.state``."""
        if not getattr(seen, "exists", True):
            return self.if_exists(False)
        return self._with(as_seen(seen))

    def if_exists(self, exists: bool = True, /) -> ResourceHandle[StateT_co]:
        """The same, on the condition that the resource exists, or does not."""
        return self._with(types_pb2.Precondition(exists=exists))

    def on_behalf_of(self, request_id: str, /) -> ResourceHandle[StateT_co]:
        """The same, with the change in the log of this running request."""
        return self._with(self._precondition, identifier(request_id, "request_id"))

    @overload
    async def get(self, *, view: ResourceView | None = ...) -> ResourceRecord[StateT_co]: ...
    @overload
    async def get(  # pyright: ignore[reportOverlappingOverload]
        self, *, model: TypeForm[T], view: ResourceView | None = ...
    ) -> ResourceRecord[T]: ...
    # As of RunHandle.result.
    @overload
    async def get(  # type: ignore[overload-cannot-match]
        self, *, model: TypeForm[object], view: ResourceView | None = ...
    ) -> ResourceRecord[object]: ...
    @overload
    async def get(self, *, model: Any, view: ResourceView | None = ...) -> ResourceRecord[Any]: ...
    async def get(
        self, *, model: Any = _OF_THE_HANDLE, view: ResourceView | None = None
    ) -> ResourceRecord[Any]:
        """The newest version, its state read as ``model``; with the content, if that has at most 1 MiB."""
        request = resource_service_pb2.GetResourceRequest(
            scope=self._scope, name=self.name, view=view_number(view)
        )
        method = "ResourceService/GetResource"
        response = await self._caller.read(method, self._stub.GetResource, request)
        read_as = self._model if model is _OF_THE_HANDLE else model
        return ResourceRecord(response.resource, read_as, self._codec)

    async def put(
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
        request = resource_service_pb2.PutResourceRequest(
            precondition=self._precondition,
            idempotency_key=idempotency_key_of(idempotency_key),
            request_id=self._request_id,
        )
        request.resource.scope.CopyFrom(self._scope)
        request.resource.name = self.name
        if state is not UNSET:
            given = self._by_type(state) if isinstance(state, Mapping) else state
            request.resource.state.json = proven_text(given, self._codec)
            request.update_mask.paths.append("state")
        if content is not None:
            if isinstance(content, str):
                content = check_text(content, "content").encode()
            request.resource.content = as_bytes(content, "content")
            if len(request.resource.content) > MAX_INLINE_BYTES:
                size = len(request.resource.content)
                raise ValueError(f"content has {size} bytes, at most {MAX_INLINE_BYTES}; upload() takes more")
            request.update_mask.paths.append("content")
        if media_type is not None:
            request.resource.media_type = check_text(media_type, "media_type")
            request.update_mask.paths.append("media_type")
        method = "ResourceService/PutResource"
        response = await self._caller.write(method, self._stub.PutResource, request)
        meta = response.resource.meta
        return StateWrite(meta.version, response.changed, meta.incarnation)

    async def delete(self, *, allow_missing: bool = False) -> None:
        """Delete it, on the condition of ``at`` or ``if_exists``. ``allow_missing``: none is fine."""
        request = resource_service_pb2.DeleteResourceRequest(
            scope=self._scope,
            name=self.name,
            precondition=self._precondition,
            allow_missing=allow_missing,
            request_id=self._request_id,
        )
        await self._caller.write("ResourceService/DeleteResource", self._stub.DeleteResource, request)

    async def upload(
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
            source: bytes, a path, or an asynchronous iterator of bytes.
            media_type: what it is; empty: what it was.
            progress: called with the bytes sent, and how many it will be (``None`` for an iterator, which does not
                tell), after each piece.
            timeout: of each piece, with all its repeats; by default ``ClientConfig.timeout``.

        Raises:
            OSError: the file cannot be read.
            TypeError: ``source`` is none of these.
        """
        upload = Upload(self._caller, self._stub, self._scope, self.name, progress=progress, timeout=timeout)
        response = await upload.send(
            source,
            media_type=check_text(media_type, "media_type"),
            precondition=self._precondition,
            request_id=self._request_id,
        )
        meta = response.resource.meta
        return StateWrite(meta.version, response.changed, meta.incarnation)

    def read_pieces(
        self, *, start: int = 0, progress: Progress | None = None, max_outage: float | None = None
    ) -> ContentStream:
        """The content of one version, in pieces, from the byte ``start`` on; see :class:`ContentStream`."""
        start = number(start, "start", most=2**63 - 1)
        return ContentStream(
            self._caller, self._scope, self.name, start=start, progress=progress, max_outage=max_outage
        )

    async def read(self) -> bytes:
        """The whole content, in memory; empty where there is none."""
        return b"".join([piece async for piece in self.read_pieces()])

    async def read_text(self) -> str:
        """:meth:`read`, as text."""
        return (await self.read()).decode()

    async def download(
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
        target = Path(path)
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            while True:
                record = await self._receive(part, progress, max_outage)
                if record is not None:
                    await asyncio.to_thread(os.replace, part, target)
                    return record
        finally:
            with suppress(FileNotFoundError):
                part.unlink()

    async def _receive(
        self, part: Path, progress: Progress | None, max_outage: float | None
    ) -> ResourceRecord[Any] | None:
        """What the file has now; nothing whole if the content was replaced in between."""
        pieces = self.read_pieces(progress=progress, max_outage=max_outage)
        file = await asyncio.to_thread(part.open, "wb")
        try:
            async with pieces:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
        except VersionMismatch:
            if pieces.resource is None:
                raise
            return None
        finally:
            await asyncio.to_thread(file.close)
        return pieces.resource

    def batch(
        self, *, idempotency_key: str | None = None, validate_only: bool = False
    ) -> ScopeBatch[StateT_co]:
        """Collect operations on the state in ``async with`` and commit them as one version; the arguments are as in
        ``States.batch``, which can have resources in it, too."""

        idempotency_key = idempotency_key_of(idempotency_key)

        async def commit(mutations: Sequence[state_service_pb2.StateMutation]) -> Sequence[StateWrite]:
            return await self._states.commit(mutations, self._request_id, idempotency_key, validate_only)

        return ScopeBatch(self._codec, self._scope, self._precondition, commit, self._types, self.name)

    async def atomic_state(self, change: Callable[[StateT_co], Mapping[str, Any] | None], /) -> StateWrite:
        """Read, compute, compare-and-swap, as ``ScopeHandle.atomic_state`` of ``client.state``. ``change`` gets the
        empty state, as the handle's model reads it, where there is no resource yet."""

        async def read() -> ResourceRecord[Any]:
            try:
                return await self.get()
            except ResourceNotFound:
                return AbsentResource(self.name, self._model, self._codec)

        async def merge(record: ResourceRecord[Any], fields: Mapping[str, Any]) -> StateWrite:
            return await self.at(record).patch_state(fields)

        async with self._states.turn(self._scope, self.name):
            return await swap(self._caller.config, read, change, merge)

    async def _submit(self, ops: Iterable[StateOp]) -> StateWrite:
        mutation = state_service_pb2.StateMutation(
            scope=self._scope, resource=self.name, precondition=self._precondition, ops=ops
        )
        (write,) = await self._states.commit([mutation], self._request_id)
        return write

    def _with(
        self, precondition: types_pb2.Precondition | None, request_id: str | None = None
    ) -> ResourceHandle[StateT_co]:
        return ResourceHandle(
            self._states,
            self._stub,
            self._scope,
            self.name,
            model=self._model,
            precondition=precondition,
            request_id=self._request_id if request_id is None else request_id,
        )
