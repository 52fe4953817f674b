"""Single connections, and what stands in for the one that unary calls take."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakSet

import grpc
import grpc.aio

from flowstate.v1 import (
    event_service_pb2_grpc,
    flow_service_pb2_grpc,
    resource_service_pb2_grpc,
    session_service_pb2_grpc,
)


class Connection:
    """A channel to the first address of ``target`` that can be reached. It is closed when nobody holds this.

    ``left``: its server goes, and no call begins here any more; those that are under way hold it until they end.
    """

    def __init__(self, target: str, channel: grpc.aio.Channel) -> None:
        self.target = target
        self.channel = channel
        self.left = False


class TailConnection(Connection):
    """A connection for tails, and the tails that have a place on it now."""

    def __init__(self, target: str, channel: grpc.aio.Channel) -> None:
        super().__init__(target, channel)
        self.events = event_service_pb2_grpc.EventServiceStub(channel)
        self.flows = flow_service_pb2_grpc.FlowServiceStub(channel)
        self.resources = resource_service_pb2_grpc.ResourceServiceStub(channel)
        self.sessions = session_service_pb2_grpc.SessionServiceStub(channel)
        self.leases: WeakSet[TailLease] = WeakSet()


class TailLease:
    """A tail's place on a connection, kept over all its reconnects and given back when it is dropped."""

    def __init__(self, connection: TailConnection) -> None:
        self.connection = connection
        self.events = connection.events
        self.flows = connection.flows
        self.resources = connection.resources
        self.sessions = connection.sessions
        connection.leases.add(self)


class UnaryChannel:
    """What generated stubs take for a channel: each call begins on the ``connection`` of that moment."""

    def __init__(self, connection: Connection) -> None:
        self._methods: dict[str, Any] = {}
        self.use(connection)

    def use(self, connection: Connection) -> None:
        """Calls begin on ``connection`` from now on."""
        self.connection = connection
        self._methods.clear()

    def unary_unary(self, path: str, *codec: Any, **named: Any) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(request: Any, **options: Any) -> Any:
            connection = self.connection  # held until the answer is here
            method = self._methods.get(path)
            if method is None:
                method = self._methods[path] = connection.channel.unary_unary(path, *codec, **named)
            return await method(request, **options)

        return call

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """Stubs ask for it; tails have connections of their own."""
        return self.connection.channel.unary_stream(*arguments, **named)

    def get_state(self) -> grpc.ChannelConnectivity:
        return self.connection.channel.get_state()

    async def channel_ready(self) -> None:
        await self.connection.channel.channel_ready()
