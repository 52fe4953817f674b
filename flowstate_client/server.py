"""What answers at the other end."""

from __future__ import annotations

from flowstate_client.calls import Caller
from flowstate_client.models import ServerInfo


class Server:
    """``client.server``: what answers at the other end."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def info(self, *, refresh: bool = False) -> ServerInfo:
        """Version, limits and capabilities; asked for once a client, again with ``refresh``."""
        return await self._caller.server_info(refresh=refresh)

    async def supports(self, capability: str) -> bool:
        """Whether the server serves a method (``StateService/CommitState``) or a field (``StateOp.test``)."""
        return capability in (await self.info()).capabilities
