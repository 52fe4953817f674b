"""Connections: one for unary calls, others for tails, so that many tails never hold up a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import cast
from weakref import WeakSet

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from flowstate.v1 import (
    event_service_pb2,
    flow_service_pb2,
    journal_service_pb2,
    resource_service_pb2,
    server_service_pb2,
    session_service_pb2,
    state_service_pb2,
)
from flowstate_client.addresses import turned
from flowstate_client.config import ClientConfig, client_version
from flowstate_client.connections import Connection, TailConnection, TailLease, UnaryChannel
from flowstate_client.errors import ClientClosedError
from flowstate_client.waiting import Waiting

_FILES: tuple[FileDescriptor, ...] = (
    event_service_pb2.DESCRIPTOR,
    flow_service_pb2.DESCRIPTOR,
    journal_service_pb2.DESCRIPTOR,
    resource_service_pb2.DESCRIPTOR,
    server_service_pb2.DESCRIPTOR,
    session_service_pb2.DESCRIPTOR,
    state_service_pb2.DESCRIPTOR,
)


class Channels:
    """All connections of a client. Belongs to the event loop in which it was made."""

    def __init__(
        self,
        target: str,
        config: ClientConfig,
        credentials: grpc.ChannelCredentials | None,
        authority: str | None = None,
    ) -> None:
        self._target = target
        self._config = config
        self._credentials = credentials
        self._authority = authority
        self._tail_connections: list[TailConnection] = []
        self._channels: WeakSet[grpc.aio.Channel] = WeakSet()  # also those of connections that were left
        self.closed = False
        self.waiting = Waiting(target)
        self._unary = UnaryChannel(Connection(self._target, self._open("unary")))

    @property
    def unary(self) -> grpc.aio.Channel:
        """What stubs for unary calls are made with."""
        return cast("grpc.aio.Channel", self._unary)

    @property
    def unary_connection(self) -> Connection:
        """What the next unary call takes."""
        return self._unary.connection

    def lease_tail(self) -> TailLease:
        """A place for a tail on a connection that has one left, or on a new connection."""
        if self.closed:
            raise ClientClosedError("the client is closed")
        for connection in self._tail_connections:
            if len(connection.leases) < self._config.tails_per_connection:
                return TailLease(connection)
        connection = TailConnection(self._target, self._open(f"tails-{len(self._tail_connections)}"))
        self._tail_connections.append(connection)
        return TailLease(connection)

    def leave(self, connection: Connection) -> None:
        """No call begins on ``connection`` any more, since its server goes; those that are under way there go on.

        gRPC itself stays with a server for as long as that keeps the connection, which one that drains does: others
        still follow their runs there. New connections try the address last that this one tried first.
        """
        if connection.left or self.closed:
            return
        connection.left = True
        if connection.target == self._target:
            self._target = turned(self._target)
        if isinstance(connection, TailConnection):
            self._tail_connections.remove(connection)
        else:
            self._unary.use(Connection(self._target, self._open("unary")))

    async def close(self) -> None:
        """Cancels what is under way and closes all connections."""
        self.closed = True
        for channel in list(self._channels):
            await channel.close()

    def _open(self, name: str) -> grpc.aio.Channel:
        options = [*channel_options(self._target, self._config), ("flowstate.connection", name)]
        if self._authority is not None:
            options.append(("grpc.default_authority", self._authority))
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(self._target, options=options)
        else:
            channel = grpc.aio.secure_channel(self._target, self._credentials, options=options)
        self._channels.add(channel)
        return channel


def channel_options(target: str, config: ClientConfig) -> list[tuple[str, str | int]]:
    """Arguments of every connection. The pool of its own keeps two channels to one server apart."""
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"flowstate-py/{client_version()}"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", int(config.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout * 1000)),
        # Any ping counts, not only that of keepalive: gRPC's own one may be under way and is given a minute otherwise.
        ("grpc.http2.ping_timeout_ms", int(config.keepalive_timeout * 1000)),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.min_reconnect_backoff_ms", int(config.connect_timeout * 1000)),  # the time for one attempt
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.enable_retries", 1),
        ("grpc.service_config", service_config(config)),
    ]
    if is_loopback(target):
        options.append(("grpc.enable_http_proxy", 0))
    return [*options, *config.channel_options]


def service_config(config: ClientConfig) -> str:
    """gRPC's own retries, for reads only: the methods declared free of side effects that answer once."""
    if config.read_attempts == 1:
        return "{}"
    policy = {
        "maxAttempts": config.read_attempts,
        "initialBackoff": "0.1s",
        "maxBackoff": "2s",
        "backoffMultiplier": 1.6,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    names = [{"service": service, "method": method} for service, method in read_methods()]
    return json.dumps(
        {
            "methodConfig": [{"name": names, "retryPolicy": policy}],
            "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
        }
    )


def read_methods() -> Iterator[tuple[str, str]]:
    """(service, method) of every unary method that is declared free of side effects."""
    for file in _FILES:
        for service in file.services_by_name.values():
            for method in service.methods:
                if method.server_streaming:
                    continue
                if method.GetOptions().idempotency_level == MethodOptions.NO_SIDE_EFFECTS:
                    yield service.full_name, method.name


def is_loopback(target: str) -> bool:
    """Whether the target is on this machine, where no HTTP proxy has any business."""
    host = target.rpartition("///")[2]
    return target.startswith("unix:") or host.startswith(
        ("127.", "localhost", "[::1]", "ipv4:127.", "ipv6:[::1]")
    )
