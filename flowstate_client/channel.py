"""Connections: one for unary calls, others for tails, so that many tails never hold up a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from weakref import WeakSet

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from flowstate.v1 import (
    event_service_pb2,
    event_service_pb2_grpc,
    flow_service_pb2,
    flow_service_pb2_grpc,
    journal_service_pb2,
    resource_service_pb2,
    resource_service_pb2_grpc,
    server_service_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
    state_service_pb2,
)
from flowstate_client.config import ClientConfig, client_version
from flowstate_client.errors import ClientClosedError

_FILES: tuple[FileDescriptor, ...] = (
    event_service_pb2.DESCRIPTOR,
    flow_service_pb2.DESCRIPTOR,
    journal_service_pb2.DESCRIPTOR,
    resource_service_pb2.DESCRIPTOR,
    server_service_pb2.DESCRIPTOR,
    session_service_pb2.DESCRIPTOR,
    state_service_pb2.DESCRIPTOR,
)


class TailChannel:
    """A connection for tails, and the tails that have a place on it now."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.events = event_service_pb2_grpc.EventServiceStub(channel)
        self.flows = flow_service_pb2_grpc.FlowServiceStub(channel)
        self.resources = resource_service_pb2_grpc.ResourceServiceStub(channel)
        self.sessions = session_service_pb2_grpc.SessionServiceStub(channel)
        self.leases: WeakSet[TailLease] = WeakSet()


class TailLease:
    """A tail's place on a connection, kept over all its reconnects and given back when it is dropped."""

    def __init__(self, tail_channel: TailChannel) -> None:
        self.events = tail_channel.events
        self.flows = tail_channel.flows
        self.resources = tail_channel.resources
        self.sessions = tail_channel.sessions
        tail_channel.leases.add(self)


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
        self._tail_channels: list[TailChannel] = []
        self.closed = False
        self.unary = self._open("unary")

    def lease_tail(self) -> TailLease:
        """A place for a tail on a connection that has one left, or on a new connection."""
        if self.closed:
            raise ClientClosedError("the client is closed")
        for tail_channel in self._tail_channels:
            if len(tail_channel.leases) < self._config.tails_per_connection:
                return TailLease(tail_channel)
        tail_channel = TailChannel(self._open(f"tails-{len(self._tail_channels)}"))
        self._tail_channels.append(tail_channel)
        return TailLease(tail_channel)

    async def close(self) -> None:
        """Cancels what is under way and closes all connections."""
        self.closed = True
        for tail_channel in self._tail_channels:
            await tail_channel.channel.close()
        await self.unary.close()

    def _open(self, name: str) -> grpc.aio.Channel:
        options = [*channel_options(self._target, self._config), ("flowstate.connection", name)]
        if self._authority is not None:
            options.append(("grpc.default_authority", self._authority))
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, options=options)
        return grpc.aio.secure_channel(self._target, self._credentials, options=options)


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
