"""Resources as they were read."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

from flowstate.v1 import resource_service_pb2
from flowstate_client.codec import Codec
from flowstate_client.models import plain_time

T = TypeVar("T")


class ResourceRecord(Generic[T]):
    """A resource as it was read, or as it would be if it existed.

    Attributes:
        name: Its name.
        exists: Whether it exists; always true of what was read.
        version: Each committed write of state or content adds 1; it goes on over deletes.
        incarnation: Which making of the resource this is: another one each time it is made anew after it was deleted.
        raw: The state as JSON text; on the client plane the part that the flow shows.
        media_type: What the content is, for example ``text/markdown``.
        size, sha256: Of the content; 0 and empty where there is none.
        content: The content, if it is short (1 MiB) and this was read by ``get``; else ``None``.
        create_time, update_time: When it was made and last written, in UTC.
    """

    exists = True

    def __init__(self, resource: resource_service_pb2.Resource, model: Any, codec: Codec) -> None:
        self.name = resource.name
        self.version = resource.meta.version
        self.incarnation = resource.meta.incarnation
        self.raw = (resource.state.json or "{}").encode()
        self.media_type = resource.media_type
        self.size = resource.content_size
        self.sha256 = resource.content_sha256
        self.content: bytes | None = resource.content if len(resource.content) == self.size else None
        self.create_time: datetime | None = plain_time(resource.meta, "create_time")
        self.update_time: datetime | None = plain_time(resource.meta, "update_time")
        self._model = model
        self._codec = codec

    @cached_property
    def state(self) -> T:
        """The state as the model.

        Raises:
            ResponseValidationError: it does not fit.
        """
        return cast(T, self._codec.decode(self.raw, self._model))

    def __repr__(self) -> str:
        held = f"{self.size} bytes" + (f" of {self.media_type}" if self.media_type else "")
        return f"ResourceRecord({self.name!r}, version={self.version}, {held})"


class AbsentResource(ResourceRecord[T], Generic[T]):
    """Stands for a resource that does not exist."""

    exists = False

    def __init__(self, name: str, model: Any, codec: Codec) -> None:
        super().__init__(resource_service_pb2.Resource(name=name), model, codec)
