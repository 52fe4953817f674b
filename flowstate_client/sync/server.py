"""What answers at the other end."""

# Written by .ci/codegen/sync_client.py from flowstate_client/server.py: `make sync-client`.

from __future__ import annotations

from flowstate_client import server as asynchronous
from flowstate_client.models import ServerInfo
from flowstate_client.sync.loop_thread import LoopThread


class Server:
    """``client.server``: what answers at the other end."""

    def __init__(self, thread: LoopThread, server: asynchronous.Server) -> None:
        self._thread = thread
        self._server = server

    def info(self, *, refresh: bool = False) -> ServerInfo:
        """Version, limits and capabilities; asked for once a client, again with ``refresh``."""
        return self._thread.run(self._server.info(refresh=refresh))

    def supports(self, capability: str) -> bool:
        """Whether the server serves a method (``StateService/CommitState``) or a field (``StateOp.test``)."""
        return self._thread.run(self._server.supports(capability))
