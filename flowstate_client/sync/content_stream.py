"""The content of a resource as it comes from the server."""

# Written by .ci/codegen/sync_client.py from flowstate_client/content_stream.py: `make sync-client`.

from __future__ import annotations

from typing import Any

from flowstate_client import content_stream as asynchronous
from flowstate_client.resource_record import ResourceRecord
from flowstate_client.sync.loop_thread import LoopThread
from flowstate_client.sync.streams import Stream


class ContentStream(Stream[bytes]):
    """The content of one version of a resource, in pieces.

    Use it in ``for``, or in ``with`` where the end of use should not wait for anything. It goes on by
    itself where a broken connection left off, and is checked against its checksum before its last piece is given.

    Attributes:
        resource: What was read, once the first piece has come; its state is plain JSON.
        position: The bytes given so far, with those left out by ``start``.

    Iterating raises:
        ResourceNotFound: there is no such resource, or no content for this caller to see.
        VersionMismatch: the content was replaced, and what it was is gone, while the stream was broken off.
        ConnectError: nothing came for longer than ``max_outage``.
        ProtocolError: the pieces are not those of the content.
    """

    def __init__(self, thread: LoopThread, content_stream: asynchronous.ContentStream) -> None:
        super().__init__(thread, content_stream)
        self._content_stream = content_stream

    @property
    def resource(self) -> ResourceRecord[Any] | None:
        return self._content_stream.resource

    @property
    def position(self) -> int:
        return self._content_stream.position
