"""How a server listens and how much it takes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from flowstate_server.rpc.admission import AdmissionLimits
from flowstate_server.rpc.call_metadata import TENANT_KEY
from flowstate_server.rpc.envelope import EnvelopeLimits

ChannelOptions = list[tuple[str, int]]

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """``listen`` is ``host:port`` (port 0: any free one) or ``unix:path``. ``tokens`` is the file that
    ``token_file`` describes; without it callers are who their metadata says. ``insecure`` allows to listen beyond
    loopback without TLS or tokens. ``reuse_port`` lets several processes share the port (Linux).
    """

    listen: str = "127.0.0.1:7437"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tokens: Path | None = None
    tenant_key: str = TENANT_KEY
    insecure: bool = False
    reflection: bool = False
    reuse_port: bool = False
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    envelope: EnvelopeLimits = field(default_factory=EnvelopeLimits)

    def channel_options(self) -> ChannelOptions:
        largest = self.envelope.max_message_bytes
        return [
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_send_message_length", largest),
            ("grpc.max_concurrent_streams", 1_000),
            # The limit for pings received: by default a client that pings a quiet stream is cut off.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.http2.min_time_between_pings_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.keepalive_time_ms", _MINUTE_MS),
            ("grpc.keepalive_timeout_ms", 20_000),
            # Connections move on, so that new servers behind a balancer get their share.
            ("grpc.max_connection_age_ms", 30 * _MINUTE_MS),
            ("grpc.max_connection_age_grace_ms", 5 * _MINUTE_MS),
            ("grpc.max_connection_idle_ms", 15 * _MINUTE_MS),
            ("grpc.server_handshake_timeout_ms", 10_000),
            # By default a second server would be given the same port, silently, and half of the connections.
            ("grpc.so_reuseport", int(self.reuse_port)),
        ]
